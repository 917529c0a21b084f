package bubble

import "os"

// Full tells whether tests are to reach the large bounds in full, as `make limits` has them do. With all others they reach
// smaller ones, in a fraction of the time.
func Full() bool { return os.Getenv("LIMITS") != "" }
