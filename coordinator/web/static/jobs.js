// Sampling jobs: submit, watch, cancel, and see what they draw while they draw it.
import { brief, count, digits } from "./format.js";
import { element } from "./tables.js";

// every is how often the jobs are asked for, in milliseconds, by a page that is seen.
const every = 2000;
const shownJobs = 20;

const open = (j) => j.state === "queued" || j.state === "running";
const moods = { done: "good", running: "good", queued: "warn", cancelled: "quiet", failed: "bad" };

// exactly keeps a seed as its digits: above 2^53 a number of this language is another one.
const exactly = (key, value, from) => (key === "seed" && from?.source ? from.source : value);

const drawn = (s) => `${s.sampler}, ${count(s.steps)} steps, seed ${s.seed}`;

export class Jobs {
  constructor() {
    this.run = undefined;
    this.list = document.getElementById("jobs");
    this.note = document.getElementById("jobsnote");
    this.cards = new Map(); // by job
    const form = document.getElementById("job-form");
    form.addEventListener("submit", (e) => {
      e.preventDefault();
      this.submit(Object.fromEntries(new FormData(form)));
    });
    document.addEventListener("visibilitychange", () => this.look());
    setInterval(() => this.look(), every);
  }

  // of tells whose checkpoints are drawn from.
  of(run) {
    const first = this.run === undefined;
    this.run = run;
    if (first) this.look();
  }

  async ask(path, options) {
    const answer = await fetch(`api/samples${path}`, options);
    const body = JSON.parse(await answer.text(), exactly);
    if (!answer.ok) throw new Error(body.error ?? answer.statusText);
    return body;
  }

  async submit(form) {
    const seed = Number(form.seed);
    if (!Number.isSafeInteger(seed)) { // it would be rounded, and others drawn than were asked for
      this.note.textContent = `The seed ${form.seed} can’t be kept exactly here: give a whole number of at most ${Number.MAX_SAFE_INTEGER}, or use ddpmctl sample --seed`;
      return;
    }
    const request = { run: this.run, n: Number(form.n), sampler: form.sampler, seed };
    if (form.steps) request.steps = Number(form.steps);
    if (form.step) request.step = Number(form.step);
    try {
      const j = await this.ask("", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(request) });
      this.note.textContent = `Submitted as ${j.id}`;
    } catch (e) {
      this.note.textContent = e.message;
    }
    await this.look();
  }

  async cancel(id) {
    try {
      await this.ask(`/${id}`, { method: "DELETE" });
    } catch (e) {
      this.note.textContent = e.message;
    }
    await this.look();
  }

  // look asks for the jobs, once at a time, and only for somebody who sees them.
  async look() {
    if (this.run === undefined || this.looking || document.hidden) return;
    this.looking = true;
    try {
      this.show(await this.ask(""));
    } catch { // the link's state is shown at the page's head
    } finally {
      this.looking = false;
    }
  }

  show(all) {
    const shown = all.toReversed().slice(0, shownJobs);
    const there = new Set(shown.map((j) => j.id));
    for (const [id, c] of this.cards) {
      if (!there.has(id)) { c.card.remove(); this.cards.delete(id); }
    }
    shown.forEach((j, i) => {
      const c = this.card(j);
      if (this.list.children[i] !== c.card) this.list.insertBefore(c.card, this.list.children[i] ?? null);
      this.write(c, j);
    });
    document.getElementById("nojobs").hidden = all.length > 0;
  }

  card(j) {
    let c = this.cards.get(j.id);
    if (c) return c;
    const cancel = element("button", { type: "button", "aria-label": `Cancel job ${j.id}` }, "Cancel");
    cancel.addEventListener("click", () => this.cancel(j.id));
    c = {
      state: element("span", { class: "chip" }), done: element("progress", { max: "1", value: "0", "aria-label": `Done of job ${j.id}` }),
      text: element("span", { class: "note" }), pictures: element("div", { class: "pictures" }), cancel, seen: new Set(),
    };
    c.card = element("li", { class: "job", "data-job": j.id },
      element("div", { class: "bar" }, element("b", {}, j.id), c.state, c.text, cancel), c.done, c.pictures);
    this.cards.set(j.id, c);
    return c;
  }

  write(c, j) {
    c.state.textContent = j.state;
    c.state.className = `chip ${moods[j.state] ?? ""}`;
    c.done.value = j.fraction;
    c.done.hidden = !open(j);
    c.cancel.hidden = !open(j);
    const { step } = j.job ?? j.evaluation ?? {};
    const what = j.job ? drawn(j.job.settings ?? {}) : `measures on ${j.evaluation?.dataset ?? "images"}`;
    const speed = open(j) && j.images_per_second ? ` · ${digits(j.images_per_second)} images/s, ${brief(j.seconds_left)} left, ${count(j.workers)} workers` : "";
    const waits = j.state === "queued" ? " · waits for a worker with --role sample" : "";
    c.text.textContent = `${count(j.images_done)} of ${count(j.images)} images · step ${count(step)} · ${what}` +
      speed + waits + (j.reason ? ` · ${j.reason}` : "");
    for (const n of j.previews ?? []) {
      if (c.seen.has(n)) continue;
      c.seen.add(n);
      const src = `api/samples/${j.id}/files/images/${String(n).padStart(6, "0")}.png`;
      c.pictures.append(element("a", { href: src }, element("img", { src, alt: `Image ${n} of job ${j.id}`, loading: "lazy", width: "64", height: "64" })));
    }
  }
}
