// How numbers and times are written for people.

export const none = "–";

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export const count = (n) => (Number.isFinite(n) ? whole.format(n) : none);

const short = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 4 });

// compact is a count where there is little place.
export const compact = (n) => (Number.isFinite(n) ? short.format(n) : none);

// digits writes a number with about so many significant digits, never as a power.
export function digits(n, significant = 3) {
  if (!Number.isFinite(n)) return none;
  if (n !== 0 && Math.abs(n) < 1e-4) return n.toExponential(Math.max(0, significant - 1));
  return new Intl.NumberFormat("en", { maximumSignificantDigits: significant }).format(n);
}

// loss has as many digits as ddpmctl gives it.
export const loss = (n) => (Number.isFinite(n) ? (Math.abs(n) < 1e-3 ? n.toExponential(2) : n.toFixed(4)) : none);

// brief is a short time in seconds.
export function brief(seconds) {
  if (!Number.isFinite(seconds)) return none;
  return seconds < 1 ? `${digits(seconds * 1000)} ms` : `${digits(seconds)} s`;
}

// long is a time in seconds, in its two largest units.
export function long(seconds) {
  if (!Number.isFinite(seconds)) return none;
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  let rest = Math.round(Math.max(0, seconds));
  const at = units.findIndex(([, size]) => rest >= size);
  if (at < 0) return "0 s";
  const out = [];
  for (const [name, size] of units.slice(at, at + 2)) {
    const n = Math.floor(rest / size);
    rest -= n * size;
    if (n > 0) out.push(`${n} ${name}`);
  }
  return out.join(" ");
}

// ago is the time from then to now, both of the coordinator's clock.
export const ago = (now, then) => `${long((Date.parse(now) - Date.parse(then)) / 1000)} ago`;

export function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (n >= 1024 && at < units.length - 1) { n /= 1024; at++; }
  return `${digits(n)} ${units[at]}`;
}

// flops is a speed in floating-point operations a second.
export const flops = (n) => (n >= 1e12 ? `${digits(n / 1e12)} TFLOP/s` : `${digits(n / 1e9)} GFLOP/s`);
