package core

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestBucketsAreMonotoneAndWithinTenPercent(t *testing.T) {
	const last = time.Duration(1<<36) * time.Microsecond
	bucket, middle := -1, time.Duration(-1)
	for d := time.Duration(0); d < last; d += max(time.Microsecond, d/200) {
		i := bucketOf(d)
		if i < bucket || i > bucket+1 {
			t.Fatalf("%v is in bucket %d, after bucket %d", d, i, bucket)
		}
		got := bucketMiddle(i)
		if i > bucket && got <= middle {
			t.Fatalf("bucket %d stands for %v, the one before for %v", i, got, middle)
		}
		if off := math.Abs(float64(got - d.Truncate(time.Microsecond))); off > 0.1*float64(d) {
			t.Fatalf("%v counts as %v", d, got)
		}
		bucket, middle = i, got
	}
	if bucket != histogramBuckets-2 || bucketOf(last) != histogramBuckets-1 || bucketOf(math.MaxInt64) != histogramBuckets-1 {
		t.Errorf("up to %v: bucket %d; from there on: %d; want the last but one and the last of %d", last, bucket, bucketOf(last), histogramBuckets)
	}
	if bucketOf(-time.Hour) != 0 {
		t.Errorf("a duration below 0 is in bucket %d", bucketOf(-time.Hour))
	}
}

func TestPercentilesAreWithinTenPercent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h Histogram
		all := rapid.SliceOfN(rapid.Map(rapid.Int64Range(int64(time.Microsecond), int64(10*time.Hour)), func(n int64) time.Duration { return time.Duration(n) }), 1, 200).Draw(t, "durations")
		for _, d := range all {
			h.add(d)
		}
		slices.Sort(all)
		for _, q := range []float64{0, 0.01, 0.5, 0.95, 0.99, 1} {
			want := all[max(0, int(math.Ceil(q*float64(len(all))))-1)]
			if got := h.Quantile(q); math.Abs(float64(got-want)) > 0.1*float64(want)+float64(time.Microsecond) {
				t.Fatalf("quantile %v of %d: got %v, want %v within 10 %%", q, len(all), got, want)
			}
		}
	})
}

func TestAHistogramWithoutDurationsHasNoPercentiles(t *testing.T) {
	if got := new(Histogram).Quantile(0.5); got != 0 {
		t.Errorf("got %v, want 0", got)
	}
}
