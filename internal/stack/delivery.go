package stack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"regexp"
	"sync"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/notify"
)

// noteTaker is the integration of every receiver that writes notifications
// into the log and onto the page.
type noteTaker struct {
	journal  *journal
	receiver string
	via      []string
	resolved bool
}

// SendResolved follows the receiver's other integrations.
func (n *noteTaker) SendResolved() bool { return n.resolved }

// Notify never fails.
func (n *noteTaker) Notify(ctx context.Context, alerts ...*alert.Alert) (bool, error) {
	n.journal.note(newBatch(ctx, n.receiver, alerts), n.via)
	return false, nil
}

func newBatch(ctx context.Context, receiver string, alerts []*alert.Alert) batch {
	group, _ := notify.GroupKey(ctx)
	return batch{receiver: receiver, group: group, alerts: alerts}
}

// delivery is an integration of Alertmanager whose results go to the journal,
// and whose failures are logged once and without the secret URL.
type delivery struct {
	sender        *notify.Integration
	journal       *journal
	receiver, via string
	logger        *slog.Logger

	mu   sync.Mutex
	last string // the failure that was logged last
}

// SendResolved is the integration's own.
func (d *delivery) SendResolved() bool { return d.sender.SendResolved() }

// Notify sends. Alertmanager's pipeline retries after a failure that may pass.
func (d *delivery) Notify(ctx context.Context, alerts ...*alert.Alert) (retry bool, err error) {
	b := newBatch(ctx, d.receiver, alerts)
	sending, cancel := outlasting(ctx)
	defer cancel()
	retry, err = d.sender.Notify(sending, alerts...)
	if err == nil {
		d.journal.delivered(b, Delivery{Via: d.via, Status: delivered})
		d.recovered()
		return retry, nil
	}
	reason := failureOf(err)
	d.journal.delivered(b, Delivery{Via: d.via, Status: failed, Detail: reason})
	d.report(reason)
	return retry, reportedError{reason}
}

// sendGrace is what is left to a delivery that has begun when the process stops.
const sendGrace = 3 * time.Second

// outlasting is ctx, but when ctx is cancelled there is some time left. What is
// cut off may have arrived all the same, and would be sent again after a restart.
func outlasting(ctx context.Context) (context.Context, context.CancelFunc) {
	out, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			cancel()
			return
		}
		time.AfterFunc(sendGrace, cancel)
	})
	return out, func() {
		stop()
		cancel()
	}
}

func (d *delivery) report(reason string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.last != reason {
		d.logger.Warn("notification not delivered", "receiver", d.receiver, "via", d.via, "err", reason)
	}
	d.last = reason
}

func (d *delivery) recovered() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.last != "" {
		d.logger.Info("notifications delivered again", "receiver", d.receiver, "via", d.via)
	}
	d.last = ""
}

// failureOf is what may be said of a failure: an error of the HTTP client
// holds the URL, and the URL is a secret.
func failureOf(err error) string {
	var missing *fs.PathError
	if errors.As(err, &missing) {
		return fmt.Sprintf("secret file %s: %v", missing.Path, missing.Err)
	}
	var request *url.Error
	if errors.As(err, &request) {
		err = request.Err
	}
	// An answer that was not accepted is part of the error, however long it is.
	text, _ := notify.TruncateInRunes(err.Error(), 4*detailRunes)
	text = regexp.MustCompile(`\w+://[^\s"']+`).ReplaceAllString(text, "<redacted>")
	text, _ = notify.TruncateInRunes(text, detailRunes)
	return text
}

// detailRunes is how much of a failure is told.
const detailRunes = 300

// reportedError is a failure that was logged where it happened.
type reportedError struct{ reason string }

func (e reportedError) Error() string { return e.reason }

// withoutReported leaves out records of failures that were logged already.
type withoutReported struct{ slog.Handler }

// Handle drops a record with such an error.
func (h withoutReported) Handle(ctx context.Context, r slog.Record) error {
	drop := false
	r.Attrs(func(a slog.Attr) bool {
		drop = isReported(a)
		return !drop
	})
	if drop {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs gives a handler of nothing for such an error.
func (h withoutReported) WithAttrs(attrs []slog.Attr) slog.Handler {
	for _, a := range attrs {
		if isReported(a) {
			return slog.DiscardHandler
		}
	}
	return withoutReported{h.Handler.WithAttrs(attrs)}
}

// WithGroup keeps leaving out.
func (h withoutReported) WithGroup(name string) slog.Handler {
	return withoutReported{h.Handler.WithGroup(name)}
}

func isReported(a slog.Attr) bool {
	err, ok := a.Value.Any().(error)
	return ok && errors.As(err, new(reportedError))
}
