"""The random numbers of package ddpm/rng, again in numpy.

Both sides of a golden test make the same weights and inputs from these, so the
golden files hold only what a reference computed. uniforms() gives the bits of
rng.Uniforms. normals() goes through numpy's log, sin and cos, so an element may
differ from rng.Normals in its last bit.

Run as a program it checks the generator against Random123's published vectors.
"""

import numpy as np

# The purposes of ddpm/rng/counter.go.
NOISE, DROPOUT, INIT, SAMPLE_START, SAMPLE_NOISE = 3, 5, 6, 7, 8

_MASK = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)


def philox4x32(key, counter):
    """Philox4x32-10 of counters [n, 4] under one 64-bit key: words [n, 4]."""
    c0, c1, c2, c3 = (np.asarray(counter, dtype=np.uint64)[:, j] for j in range(4))
    k0, k1 = key & 0xFFFFFFFF, key >> 32
    for _ in range(10):
        p0 = np.uint64(0xD2511F53) * c0
        p1 = np.uint64(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (
            (p1 >> _SHIFT) ^ c1 ^ np.uint64(k0),
            p1 & _MASK,
            (p0 >> _SHIFT) ^ c3 ^ np.uint64(k1),
            p0 & _MASK,
        )
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=1)


def words(n, seed, purpose, step, example, first_block=0):
    """Words 0 to n-1 of the stream that starts at block first_block."""
    blocks = (n + 3) // 4
    counter = np.empty((blocks, 4), dtype=np.uint64)
    counter[:, 0] = np.arange(first_block, first_block + blocks, dtype=np.uint64)
    counter[:, 1] = example
    counter[:, 2] = step & 0xFFFFFFFF
    counter[:, 3] = purpose << 24 | (step >> 32 & 0xFFFFFF)
    return philox4x32(seed, counter).reshape(-1)[:n]


def _unit(w):
    return (w.astype(np.float64) + 0.5) * 2.0**-32


def uniforms(n, a, seed, purpose, step, example):
    """rng.Uniforms: n float32 in (-a, a)."""
    u = _unit(words(n, seed, purpose, step, example))
    return (a * (2 * u - 1)).astype(np.float32)


def normals(n, seed, purpose, step, example):
    """rng.Normals: n standard normals, float32."""
    u = _unit(words((n + 3) // 4 * 4, seed, purpose, step, example)).reshape(-1, 2)
    r = np.sqrt(-2 * np.log(u[:, 0]))
    angle = 2 * np.pi * u[:, 1]
    z = np.stack([r * np.cos(angle), r * np.sin(angle)], axis=1)
    return z.reshape(-1)[:n].astype(np.float32)


def self_check():
    """Random123's known answers for philox4x32-10."""
    ones = 0xFFFFFFFF
    for key, counter, want in [
        (0, [0, 0, 0, 0], [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        (ones << 32 | ones, [ones] * 4, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            0x299F31D0A4093822,
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ]:
        got = philox4x32(key, [counter])[0].tolist()
        if got != want:
            raise SystemExit(f"philox4x32 of {counter}: {got}, want {want}")


if __name__ == "__main__":
    self_check()
    print("counted.py: Random123's vectors hold")
