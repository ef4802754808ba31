// Workers, generations and checkpoints.
import { ago, brief, bytes, count, digits } from "./format.js";

export function element(tag, attributes = {}, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined) e.setAttribute(name, value);
  }
  e.append(...children);
  return e;
}

// silence is after how many seconds without a sign of life one of so many workers is called
// silent: who waits is asked for one every 10 ms for each of them, every 10 s at most.
const silence = (workers) => 5 + Math.min(workers / 100, 10);

function state(w) {
  if (w.silent) return ["silent", "bad"];
  return w.shards > 0 ? ["training", "good"] : ["idle", "warn"];
}

const number = (id) => Number(/\d+$/.exec(id)?.[0] ?? 0);

const columns = [
  { name: "Worker", text: (w) => w.id, order: (w) => number(w.id) },
  { name: "State", text: (w) => state(w)[0], order: (w) => state(w)[0], state: true },
  { name: "Host", text: (w) => w.hostname, order: (w) => w.hostname },
  { name: "CPU", text: (w) => w.cpu_level, order: (w) => w.cpu_level, wide: true },
  { name: "Threads", text: (w) => count(w.threads), order: (w) => w.threads, n: true, wide: true },
  { name: "Shards", text: (w) => count(w.shards), order: (w) => w.shards, n: true, wide: true },
  { name: "Shards/s", text: (w) => digits(w.shard_rate), order: (w) => w.shard_rate, n: true },
  { name: "Rank", text: (w) => (w.rank < 0 ? "–" : count(w.rank)), order: (w) => w.rank, n: true, wide: true },
  { name: "Sent", text: (w) => bytes(w.ring_sent_bytes), order: (w) => w.ring_sent_bytes, n: true, wide: true },
  { name: "Link", text: (w) => `${bytes(w.ring_bytes_per_second)}/s`, order: (w) => w.ring_bytes_per_second, n: true, wide: true },
  { name: "Step", text: (w) => count(w.step), order: (w) => w.step, n: true },
  { name: "Seen", text: (w) => (w.seen_seconds < 1 ? "now" : `${brief(w.seen_seconds)} ago`), order: (w) => w.seen_seconds, n: true, wide: true },
];

const classes = (c) => [c.n ? "n" : "", c.wide ? "wideonly" : ""].join(" ").trim() || undefined;

// Workers is the table of those that are there, and the list of those that are gone.
export class Workers {
  constructor() {
    this.body = document.querySelector("#workers tbody");
    this.rows = new Map(); // by worker: a row and its cells
    this.all = [];
    this.by = 0;
    this.down = false;
    this.heads = columns.map((c, i) => {
      const button = element("button", { type: "button" }, c.name);
      button.addEventListener("click", () => {
        this.down = this.by === i && !this.down;
        this.by = i;
        this.show();
      });
      return element("th", { scope: "col", class: classes(c) }, button);
    });
    document.querySelector("#workers thead tr").append(...this.heads);
    this.find = document.getElementById("find");
    this.find.addEventListener("input", () => this.show());
  }

  set(all) {
    const longest = silence(all.length);
    this.all = all.map((w) => ({ ...w, silent: w.seen_seconds > longest }));
    this.show();
  }

  show() {
    this.heads.forEach((th, i) => {
      if (i === this.by) th.setAttribute("aria-sort", this.down ? "descending" : "ascending");
      else th.removeAttribute("aria-sort");
    });
    const { order } = columns[this.by];
    const words = this.find.value.toLowerCase();
    const shown = this.all.filter((w) => `${w.id} ${w.hostname} ${w.cpu_level} ${state(w)[0]}`.toLowerCase().includes(words));
    shown.sort((a, b) => {
      const x = order(a), y = order(b);
      return (this.down ? -1 : 1) * (x < y ? -1 : x > y ? 1 : 0) || number(a.id) - number(b.id);
    });
    const there = new Set(shown.map((w) => w.id));
    for (const [id, { row }] of this.rows) {
      if (!there.has(id)) { row.remove(); this.rows.delete(id); }
    }
    shown.forEach((w, i) => this.place(w, i));
    document.getElementById("found").textContent = words ? `${count(shown.length)} of ${count(this.all.length)}` : "";
  }

  // place writes what has changed of a worker's row, and moves it where it belongs.
  place(w, i) {
    let known = this.rows.get(w.id);
    if (!known) {
      const cells = columns.map((c) => element("td", { class: classes(c) }));
      known = { row: element("tr", {}, ...cells), cells };
      this.rows.set(w.id, known);
    }
    known.row.title = `process ${w.pid}, ring at ${w.ring_address}`;
    columns.forEach((c, k) => {
      const text = c.text(w), cell = known.cells[k];
      if (cell.textContent !== text) cell.textContent = text;
      if (c.state) cell.className = `state ${state(w)[1]}`;
    });
    if (this.body.children[i] !== known.row) this.body.insertBefore(known.row, this.body.children[i] ?? null);
  }

  gone(now, all) {
    document.getElementById("gone-part").hidden = all.length === 0;
    document.getElementById("gone").replaceChildren(...all.toReversed().map((w) =>
      element("li", {}, element("b", {}, w.id), ` on ${w.hostname}, ${ago(now, w.gone_at)}: ${w.gone}`)));
  }
}

export function generations(now, all) {
  const cell = (text, kind, name = "") => element("td", { class: kind, "data-name": name }, text);
  document.getElementById("generations").replaceChildren(...all.toReversed().map((g) =>
    element("tr", {}, cell(count(g.number), "n", "number"), cell(count(g.start_step), "n", "from step"), cell(count(g.members), "n", "members"),
      cell(ago(now, g.at)), cell(g.reason, "text"))));
}

// shownCheckpoints is how many are shown side by side.
const shownCheckpoints = 100;

// Checkpoints is the strip of pictures, the newest first.
export class Checkpoints {
  constructor() {
    this.figures = new Map(); // by step
    this.newest = undefined;
  }

  // see asks for the list when there is a new checkpoint.
  async see(newest) {
    if (newest === this.newest) return;
    this.newest = newest;
    if (newest === null) return;
    const note = document.getElementById("checkpointsnote");
    try {
      const answer = await fetch("api/checkpoints");
      if (!answer.ok) throw new Error(await answer.text());
      const all = await answer.json();
      note.textContent = "";
      this.show(all);
    } catch (e) {
      this.newest = undefined; // asked again with the next status
      note.textContent = `The list can’t be had now: ${e.message}`;
    }
  }

  show(all) {
    const some = all.toReversed().slice(0, shownCheckpoints);
    document.getElementById("checkpoints").replaceChildren(...some.map((c) => this.figure(c)));
    if (all.length > some.length) document.getElementById("checkpointsnote").textContent = `the newest ${some.length} of ${count(all.length)}`;
  }

  figure(c) {
    if (!this.figures.has(c.step)) {
      const picture = c.picture
        ? element("img", { src: `api/checkpoints/${c.step}/samples.png`, loading: "lazy", alt: `What the checkpoint of step ${c.step} draws`, width: "176", height: "176" })
        : element("div", { class: "none" }, "no picture");
      this.figures.set(c.step, element("figure", {}, picture,
        element("figcaption", {}, element("b", {}, `step ${count(c.step)}`), `${bytes(c.bytes ?? 0)} · ${new Date(c.at).toLocaleString()}`)));
    }
    return this.figures.get(c.step);
  }
}
