// The ring: who sends to whom, how much, and how fast.
import { bytes, count } from "./format.js";

const size = 320, middle = size / 2, radius = 118;
// named is how many members have their names beside them.
const named = 16;

const svg = (tag, attributes, text) => {
  const e = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) e.setAttribute(name, value);
  if (text !== undefined) e.textContent = text;
  return e;
};

const place = (rank, members, r) => {
  const a = (2 * Math.PI * rank) / members - Math.PI / 2;
  return [middle + r * Math.cos(a), middle + r * Math.sin(a)];
};

export function ring(workers) {
  const members = workers.filter((w) => w.rank >= 0).sort((a, b) => a.rank - b.rank);
  const n = members.length, picture = document.getElementById("ring");
  const most = Math.max(...members.map((w) => w.ring_bytes_per_second), 1);
  const parts = [svg("circle", { cx: middle, cy: middle, r: radius, class: "track" })];
  members.forEach((w, i) => {
    if (n > 1) { // a link is as thick as it is fast
      const [x0, y0] = place(i, n, radius), [x1, y1] = place(i + 1, n, radius);
      parts.push(svg("path", { d: `M${x0} ${y0}A${radius} ${radius} 0 0 1 ${x1} ${y1}`, class: "link", "stroke-width": 1 + (5 * w.ring_bytes_per_second) / most }));
    }
    const [x, y] = place(i, n, radius);
    parts.push(svg("circle", { cx: x, cy: y, r: n > 60 ? 2.5 : 6, class: "member" }));
    if (n <= named) {
      const [tx, ty] = place(i, n, radius + 16);
      parts.push(svg("text", { x: tx, y: ty, "text-anchor": Math.abs(tx - middle) < 8 ? "middle" : tx > middle ? "start" : "end", "dominant-baseline": "middle" }, String(w.rank)));
    }
  });
  parts.push(svg("text", { x: middle, y: middle - 8, class: "number", "text-anchor": "middle" }, count(n)));
  parts.push(svg("text", { x: middle, y: middle + 14, "text-anchor": "middle" }, n === 1 ? "member: no ring" : "members"));
  picture.replaceChildren(...parts);
  const total = members.reduce((sum, w) => sum + w.ring_sent_bytes, 0);
  const slowest = n > 1 ? members.reduce((a, b) => (b.ring_bytes_per_second < a.ring_bytes_per_second ? b : a)) : undefined;
  const text = n < 2 ? "One member has nobody to send to." :
    `${bytes(total)} sent so far. Slowest link: rank ${slowest.rank} (${slowest.id}) to rank ${(slowest.rank + 1) % n}, ${bytes(slowest.ring_bytes_per_second)}/s.`;
  const note = document.getElementById("ringnote");
  if (note.textContent !== text) note.textContent = text;
  picture.setAttribute("aria-label", `Ring of ${count(n)} members. ${text}`);
}
