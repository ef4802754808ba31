package registry

import (
	"os"
	"path/filepath"

	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.uber.org/zap"
)

// discardUnbegun removes what an etcd has left in dir that was killed in its very first moments:
// a log that exists, and has no entry yet. Nothing was ever stored there, and an etcd that finds
// the log takes itself for a member that knows the others, of whom there are none: it would
// wait for them at every start. Only who has the folder's lock calls it.
func discardUnbegun(dir string) error {
	member := filepath.Join(dir, "member")
	logs := filepath.Join(member, "wal")
	snapshots, err := filepath.Glob(filepath.Join(member, "snap", "*.snap"))
	if err != nil || len(snapshots) > 0 || !wal.Exist(logs) {
		return err
	}
	w, err := wal.OpenForRead(zap.NewNop(), logs, &walpb.Snapshot{})
	if err != nil {
		return nil // of a log that is damaged etcd says more
	}
	defer w.Close()
	_, state, entries, err := w.ReadAll()
	if err != nil || len(entries) > 0 || state.GetTerm() > 0 || state.GetCommit() > 0 {
		return nil
	}
	return os.RemoveAll(member)
}
