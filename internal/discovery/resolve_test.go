package discovery

import (
	"context"
	"errors"
	"slices"
	"testing"
)

func TestANameStandsForAllItsAddresses(t *testing.T) {
	list := []string{"10.0.0.9:1", "gone.example:50051", " two.example:50051", "localhost:2", "10.0.0.9:1"}
	got := Resolve(t.Context(), list, func(_ context.Context, host string) ([]string, error) {
		if host == "two.example" {
			return []string{"10.0.0.2", "10.0.0.1"}, nil
		}
		return nil, errors.New("no such host")
	})
	want := []string{"10.0.0.1:50051", "10.0.0.2:50051", "10.0.0.9:1", "gone.example:50051", "localhost:2"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
