package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Profile runs those of the phases that measure the usual grid once more, while each of its processes writes a CPU profile:
// FOLDER/PHASE-PROCESS.pprof. The folder is there.
func (l *Lab) Profile(ctx context.Context, phases []Phase, folder string) error {
	seconds := max(1, int(l.cfg.Duration/time.Second))
	for _, phase := range phases {
		if phase.own {
			continue
		}
		var fetching sync.WaitGroup
		errs := make([]error, 0, len(l.grid.profiles)+1)
		var mu sync.Mutex
		add := func(err error) {
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		}
		for name, address := range l.grid.profiles {
			file := filepath.Join(folder, phase.Name+"-"+name+".pprof")
			fetching.Go(func() { add(fetchProfile(ctx, address, seconds, file)) })
		}
		_, err := phase.run(l, ctx)
		add(err)
		fetching.Wait()
		if err := errors.Join(errs...); err != nil {
			return fmt.Errorf("profile: %w", err)
		}
	}
	return nil
}

// fetchProfile writes a CPU profile of so many seconds to a file.
func fetchProfile(ctx context.Context, address string, seconds int, path string) error {
	url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", address, seconds)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := io.Copy(file, resp.Body); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return file.Close()
}
