package allreduce

import (
	"errors"
	"fmt"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// moment bounds one sleep. The sleeper then looks whether its links still hold, or its
// caller still waits, of which no bell tells.
const moment = 5 * time.Millisecond

// makeRoom makes a room. Others may open it until the returned file is closed.
func makeRoom() (*room, roomKey, *os.File, error) {
	bell, rest := roomBytes()
	file, key, err := makeMemory(bell + rest)
	if err != nil {
		return nil, key, nil, err
	}
	r, err := mapRoom(file, unix.PROT_READ|unix.PROT_WRITE)
	if err != nil {
		return nil, key, nil, errors.Join(err, file.Close())
	}
	return r, key, file, nil
}

// makeMemory makes memory that has no file, so that nothing is left of it when the last
// process that uses it ends, however it ends. Others may open it until the returned
// descriptor of it is closed.
func makeMemory(bytes int) (*os.File, roomKey, error) {
	key := roomKey{pid: uint32(os.Getpid()), name: newRoomName()}
	fd, err := unix.MemfdCreate(key.file(), unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, key, fmt.Errorf("make shared memory: %w", err)
	}
	key.descriptor = uint32(fd)
	file := os.NewFile(uintptr(fd), key.file())
	err = file.Truncate(int64(bytes))
	if err == nil { // nobody can take the memory away from under those who use it
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, sizeSeals|unix.F_SEAL_SEAL)
	}
	if err != nil {
		return nil, key, errors.Join(fmt.Errorf("make %d bytes of shared memory: %w", bytes, err), file.Close())
	}
	return file, key, nil
}

const sizeSeals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW

// openRoom opens the room that another process has made.
func openRoom(key roomKey) (_ *room, err error) {
	bell, rest := roomBytes()
	file, err := openMemory(key, os.O_RDWR, bell+rest)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return mapRoom(file, unix.PROT_READ)
}

// openMemory opens what another process has made, if it is one of this machine's, of the
// same user and in sight.
func openMemory(key roomKey, flags, bytes int) (*os.File, error) {
	path := fmt.Sprintf("/proc/%d/fd/%d", key.pid, key.descriptor)
	found, err := os.Readlink(path)
	if err != nil {
		return nil, fmt.Errorf("find another worker's shared memory: %w", err)
	}
	if want := "/memfd:" + key.file() + " (deleted)"; found != want {
		return nil, fmt.Errorf("find another worker's shared memory: %s is another file, so that worker is in another container", path)
	}
	file, err := os.OpenFile(path, flags, 0)
	if err != nil {
		return nil, fmt.Errorf("open another worker's shared memory: %w", err)
	}
	if err := sealed(file, bytes); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// sealed refuses memory of another size, or whose size may change.
func sealed(file *os.File, bytes int) error {
	seals, err := unix.FcntlInt(file.Fd(), unix.F_GET_SEALS, 0)
	if err != nil {
		return fmt.Errorf("read the seals of another worker's shared memory: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("read the size of another worker's shared memory: %w", err)
	}
	if seals&sizeSeals != sizeSeals || info.Size() != int64(bytes) {
		return fmt.Errorf("another worker's shared memory has %d bytes and seals %#x, want %d and %#x: use the same version everywhere", info.Size(), seals, bytes, sizeSeals)
	}
	return nil
}

// mapRoom maps a room; its bell may always be written.
func mapRoom(file *os.File, protection int) (*room, error) {
	bellBytes, restBytes := roomBytes()
	bell, err := unix.Mmap(int(file.Fd()), 0, bellBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map shared memory: %w", err)
	}
	rest, err := unix.Mmap(int(file.Fd()), int64(bellBytes), restBytes, protection, unix.MAP_SHARED)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("map shared memory: %w", err), unix.Munmap(bell))
	}
	return newRoom(bell, rest, func() {
		_ = unix.Munmap(bell) // they only fail for what isn't mapped
		_ = unix.Munmap(rest)
	}), nil
}

// makeSums makes memory for a vector's sums.
func makeSums(elems int) (*Sums, error) {
	bytes := max(1, elems) * wordBytes
	file, key, err := makeMemory(bytes)
	if err != nil {
		return nil, err
	}
	b, err := unix.Mmap(int(file.Fd()), 0, bytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("map %d bytes of shared memory: %w", bytes, err), file.Close())
	}
	_ = unix.Madvise(b, unix.MADV_HUGEPAGE) // where the system has any for such memory
	return &Sums{
		values: words(b, elems), key: key,
		free: func() error { return errors.Join(unix.Munmap(b), file.Close()) },
	}, nil
}

// openSums maps the sums of another process for reading.
func openSums(key roomKey, elems int) (values []int64, unmap func(), err error) {
	bytes := max(1, elems) * wordBytes
	file, err := openMemory(key, os.O_RDONLY, bytes)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	b, err := unix.Mmap(int(file.Fd()), 0, bytes, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, fmt.Errorf("map %d bytes of another worker's shared memory: %w", bytes, err)
	}
	return words(b, elems), func() { _ = unix.Munmap(b) }, nil // it only fails for what isn't mapped
}

const wordBytes = 8

func words(b []byte, n int) []int64 { return unsafe.Slice((*int64)(unsafe.Pointer(&b[0])), n) }

// The operations of futex(2) that wait and wake across processes.
const (
	futexWait = 0
	futexWake = 1
)

// sleepOn waits while word is value, at most for a moment.
func sleepOn(word *uint32, value uint32) {
	timeout := unix.NsecToTimespec(moment.Nanoseconds())
	// Whatever ends it, the caller looks again.
	_, _, _ = unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), futexWait, uintptr(value), uintptr(unsafe.Pointer(&timeout)), 0, 0)
}

// wake ends the sleep of who waits for word to change.
func wake(word *uint32) {
	_, _, _ = unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), futexWake, 1, 0, 0, 0)
}
