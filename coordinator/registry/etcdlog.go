package registry

import (
	"fmt"
	"log/slog"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// etcdLog is the embedded etcd's log: warnings and worse go to a file beside its data. What ends
// the process, as a full disk does, is told to log too: the file may be on that disk.
func etcdLog(path string, log *slog.Logger) (*zap.Logger, error) {
	c := zap.NewProductionConfig()
	c.Level, c.Sampling = zap.NewAtomicLevelAt(zapcore.WarnLevel), nil
	c.EncoderConfig.EncodeTime = zapcore.ISO8601TimeEncoder
	c.OutputPaths, c.ErrorOutputPaths = []string{path}, []string{path}
	return c.Build(zap.WithFatalHook(lastWords{log}))
}

// lastWords tells why etcd ends the process, and lets it.
type lastWords struct{ log *slog.Logger }

// OnWrite implements zapcore.CheckWriteHook.
func (l lastWords) OnWrite(e *zapcore.CheckedEntry, fields []zapcore.Field) {
	l.log.Error("the embedded etcd can't go on, and with it this coordinator: " + reason(e.Message, fields) + "; the workers train on: mend that, and start it again")
	zapcore.WriteThenFatal.OnWrite(e, fields)
}

// reason is a message with its error, if it has one.
func reason(message string, fields []zapcore.Field) string {
	for _, f := range fields {
		if err, ok := f.Interface.(error); ok && f.Type == zapcore.ErrorType {
			return fmt.Sprintf("%s: %v", message, err)
		}
	}
	return message
}
