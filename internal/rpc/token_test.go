package rpc

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

func TestATokenHasARule(t *testing.T) {
	for text, want := range map[string]string{
		"sixteen-bytes-ok":         "",
		"  sixteen-bytes-ok\r\n":   "",
		"fifteen-bytes-x":          "15 bytes: must be 16 to 1024 bytes",
		"":                         "0 bytes: must be",
		strings.Repeat("x", 1025):  "1025 bytes: must be",
		"sixteen bytes or":         "byte 8 is not a printable ASCII character",
		"with-an-ümlaut-or-so":     "byte 9 is not",
		"two\nlines-in-one-file-x": "byte 4 is not",
	} {
		token, err := ParseToken([]byte(text))
		if got := fmt.Sprint(err); want == "" && err != nil || want != "" && !strings.Contains(got, want) {
			t.Errorf("ParseToken(%.30q): %v, want %q", text, err, want)
		}
		if token.Present() != (want == "") {
			t.Errorf("ParseToken(%.30q): present %v", text, token.Present())
		}
	}
}

func TestATokenIsNeverPrinted(t *testing.T) {
	const secret = "sixteen-bytes-ok"
	token, err := ParseToken([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, value := range []any{token, &token, struct{ T Token }{token}} {
			if got := fmt.Sprintf(form, value); strings.Contains(got, secret) || strings.Contains(got, fmt.Sprintf("%x", secret)) || strings.Contains(got, "115 105") {
				t.Errorf("%s of %T prints %s", form, value, got)
			}
		}
	}
}

func TestATokenIsRequiredAsBearer(t *testing.T) {
	token, err := ParseToken([]byte("sixteen-bytes-ok"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		sent []string
		want codes.Code
	}{
		{"the token", []string{"Bearer sixteen-bytes-ok"}, codes.OK},
		{"nothing", nil, codes.Unauthenticated},
		{"the token alone", []string{"sixteen-bytes-ok"}, codes.Unauthenticated},
		{"another scheme", []string{"Basic sixteen-bytes-ok"}, codes.Unauthenticated},
		{"two tokens, one right", []string{"Bearer sixteen-bytes-no", "Bearer sixteen-bytes-ok"}, codes.Unauthenticated},
		{"a prefix of it", []string{"Bearer sixteen-bytes-o"}, codes.PermissionDenied},
		{"more than it", []string{"Bearer sixteen-bytes-okk"}, codes.PermissionDenied},
		{"an empty one", []string{"Bearer "}, codes.PermissionDenied},
	} {
		ctx := metadata.NewIncomingContext(context.Background(), metadata.MD{tokenKey: c.sent})
		err := token.Require(ctx)
		if got := status.Code(err); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "sixteen") {
			t.Errorf("%s: the answer tells a token: %v", c.name, err)
		}
	}
}
