package stack

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/notify"
)

// notifierFunc is a sender of a test.
type notifierFunc func(context.Context) error

func (f notifierFunc) SendResolved() bool { return true }

func (f notifierFunc) Notify(ctx context.Context, _ ...*alert.Alert) (bool, error) {
	return false, f(ctx)
}

// send delivers one alert through f.
func send(ctx context.Context, f notifierFunc) error {
	sender := notify.NewIntegration(f, f, "webhook", 0, "page")
	j := newTestJournal()
	d := &delivery{sender: &sender, journal: j, receiver: "page", via: "webhook", logger: j.logger}
	_, err := d.Notify(ctx, firing("c", "0", time.Time{}))
	return err
}

func TestDeliveryThatBeganOutlastsTheStop(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(notify.WithGroupKey(t.Context(), "g"))
	defer stop()
	err := send(ctx, func(ctx context.Context) error {
		stop()
		if key, _ := notify.GroupKey(ctx); key != "g" {
			t.Errorf("group key %q", key)
		}
		return ctx.Err()
	})
	if err != nil {
		t.Errorf("got %v, want the delivery to be finished", err)
	}
}

func TestDeliveryThatHangsIsCutOff(t *testing.T) {
	t.Parallel()
	hang := func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := send(ctx, hang); err == nil {
		t.Error("a delivery after the stop never ends")
	}
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	begun := time.Now()
	if err := send(late, hang); err == nil || errors.Is(err, context.Canceled) || time.Since(begun) > sendGrace {
		t.Errorf("got %v after %s, want the deadline to hold", err, time.Since(begun))
	}
}
