package stack

import (
	"context"
	"log/slog"
)

// quietly is for Prometheus' and Alertmanager's packages: what they tell at
// level info (the phases of a start, of a compaction) is for their developers.
// With --log.level=debug everything is told.
func quietly(logger *slog.Logger) *slog.Logger { return slog.New(warnings{logger.Handler()}) }

// warnings lets warnings and errors through, and everything while debugging.
type warnings struct{ slog.Handler }

// Enabled raises the lowest level.
func (h warnings) Enabled(ctx context.Context, level slog.Level) bool {
	return h.Handler.Enabled(ctx, level) && (level >= slog.LevelWarn || h.Handler.Enabled(ctx, slog.LevelDebug))
}

// WithAttrs keeps the level.
func (h warnings) WithAttrs(attrs []slog.Attr) slog.Handler {
	return warnings{h.Handler.WithAttrs(attrs)}
}

// WithGroup keeps the level.
func (h warnings) WithGroup(name string) slog.Handler { return warnings{h.Handler.WithGroup(name)} }
