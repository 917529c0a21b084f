package workers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
)

// hash returns the SHA-256 of the payload's UTF-8 bytes in lower-case hexadecimal digits.
func hash(_ context.Context, payload string) (string, error) {
	sum := sha256.Sum256([]byte(payload))
	return hex.EncodeToString(sum[:]), nil
}
