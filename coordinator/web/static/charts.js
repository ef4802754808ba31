// The run's curves, drawn by uPlot.
/* global uPlot */
import { brief, compact, count, digits, loss as lossText } from "./format.js";

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

// smooth is the exponential mean that forgets its beginning's bias.
function smooth(values, weight) {
  let sum = 0, mass = 0;
  return values.map((v) => {
    if (v === null) return null;
    sum = sum * weight + v * (1 - weight);
    mass = mass * weight + (1 - weight);
    return sum / mass;
  });
}

// sum adds columns; what one of them lacks is lacking.
const sum = (a, b) => a.map((v, i) => (v === null || b[i] === null ? null : v + b[i]));

// rest is what of computing is none of its parts: rounding to fixed point and planning.
const rest = (c) => c.compute_seconds.map((v, i) => (v === null ? null : Math.max(0, v - c.input_seconds[i] - c.forward_seconds[i] - c.backward_seconds[i])));

// stages are where a step's time goes, from the bottom: their names, their colours'
// names, and their columns of a curve.
const stages = [
  ["Input", "input", (c) => c.input_seconds], ["Forward", "forward", (c) => c.forward_seconds], ["Backward", "backward", (c) => c.backward_seconds],
  ["Rest of computing", "rest", rest], ["All-reduce", "reduce", (c) => c.reduce_seconds], ["Update", "update", (c) => c.update_seconds],
  ["Checkpoint", "keep", (c) => c.checkpoint_seconds],
];

function axis(extra) {
  return { stroke: colour("muted"), grid: { stroke: colour("line"), width: 1 }, ticks: { stroke: colour("line"), width: 1 }, font: "12px system-ui, sans-serif", ...extra };
}

const shown = (format) => (_, v) => (v === null || v === undefined ? "–" : format(v));

const steps = { label: "Step", value: shown(count) };

// Charts draws a curve, the object of the event of that name.
export class Charts {
  constructor() {
    this.curve = null;
    this.settings = { weight: 0.6, log: false };
    this.plots = {};
    this.watch = new ResizeObserver((entries) => {
      for (const { target } of entries) {
        this.plots[target.id]?.setSize({ width: target.clientWidth, height: this.height() });
      }
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.rebuild());
  }

  height() { return matchMedia("(max-width: 40rem)").matches ? 200 : 260; }

  set(curve) {
    this.curve = curve;
    this.draw();
  }

  change(settings) {
    const rebuild = settings.log !== undefined && settings.log !== this.settings.log;
    Object.assign(this.settings, settings);
    if (rebuild) this.rebuild();
    else this.draw();
  }

  rebuild() {
    for (const id of Object.keys(this.plots)) {
      this.plots[id].destroy();
      this.watch.unobserve(document.getElementById(id));
    }
    this.plots = {};
    this.draw();
  }

  draw() {
    const c = this.curve;
    if (!c || c.step.length === 0) return;
    this.plot("loss-chart", () => this.lossOptions(), [c.step, c.loss_min, c.loss_max, smooth(c.loss, this.settings.weight)]);
    this.plot("rate-chart", () => this.rateOptions(), [c.step, c.images_per_second]);
    this.plot("slices-chart", () => this.slicesOptions(), [c.step, ...c.slice_loss.map((v) => smooth(v, this.settings.weight))]);
    this.plot("stage-chart", () => this.stageOptions(), [c.step, ...this.stacked().toReversed()]);
    this.describe();
  }

  // plot keeps a zoom that somebody has made, and follows the run otherwise.
  plot(id, options, data) {
    const old = this.plots[id];
    if (!old) {
      const at = document.getElementById(id);
      this.plots[id] = new uPlot({ padding: [12, 20, 0, 0], width: at.clientWidth, height: this.height(), ...options() }, data, at);
      this.watch.observe(at);
      return;
    }
    const x = old.scales.x, before = old.data[0];
    const zoomed = x.min > before[0] || x.max < before[before.length - 1];
    if (!zoomed) { old.setData(data); return; }
    const { min, max } = x;
    old.batch(() => {
      old.setData(data, false);
      old.setScale("x", { min, max });
    });
  }

  lossOptions() {
    const accent = colour("accent");
    const edge = { show: true, stroke: "transparent", width: 0, points: { show: false } };
    return {
      scales: { x: { time: false }, y: { distr: this.settings.log ? 3 : 1 } },
      axes: [axis({ values: (_, all) => all.map(compact) }), axis({ size: 64, values: (_, all) => all.map((v) => (v === null ? "" : digits(v))) })],
      series: [steps, { ...edge, label: "Least", value: shown(lossText) }, { ...edge, label: "Greatest", value: shown(lossText) },
        { label: "Loss", stroke: accent, width: 2, points: { size: 4, fill: accent }, value: shown(lossText) }],
      bands: [{ series: [2, 1], fill: colour("band") }],
    };
  }

  rateOptions() {
    return {
      scales: { x: { time: false }, y: { range: (_, _min, max) => [0, (max || 1) * 1.1] } },
      axes: [axis({ values: (_, all) => all.map(compact) }), axis({ size: 64, values: (_, all) => all.map((v) => digits(v)) })],
      series: [steps, { label: "Images a second", stroke: colour("accent"), width: 2, points: { size: 4, fill: colour("accent") }, value: shown(digits) }],
    };
  }

  slicesOptions() {
    const n = this.curve.slice_loss.length;
    return {
      scales: { x: { time: false }, y: { distr: this.settings.log ? 3 : 1 } },
      axes: [axis({ values: (_, all) => all.map(compact) }), axis({ size: 64, values: (_, all) => all.map((v) => (v === null ? "" : digits(v))) })],
      // From the accent's hue round to red, as the noise grows.
      series: [steps, ...this.curve.slice_loss.map((_, i) => ({
        label: `${digits(i / n)}–${digits((i + 1) / n)} T`, stroke: `hsl(${225 - (225 * i) / (n - 1)} 70% 50%)`, width: 1.5, points: { show: false }, value: shown(lossText), spanGaps: true,
      }))],
    };
  }

  // stacked are the sums of the stages up to each, from the bottom.
  stacked() {
    const sums = [];
    for (const [, , of] of stages) {
      const column = of(this.curve);
      sums.push(sums.length ? sum(sums[sums.length - 1], column) : column);
    }
    return sums;
  }

  // The stages are stacked by drawing the sums, the largest first.
  stageOptions() {
    const stage = ([label, name, of]) => ({
      label, stroke: colour(name), fill: colour(name), width: 1, points: { show: false },
      value: (_, _v, _s, i) => (i === null || i === undefined ? "–" : brief(of(this.curve)[i])),
    });
    return {
      scales: { x: { time: false }, y: { range: (_, _min, max) => [0, (max || 1) * 1.1] } },
      axes: [axis({ values: (_, all) => all.map(compact) }), axis({ size: 64, values: (_, all) => all.map(brief) })],
      series: [steps, ...stages.toReversed().map(stage)],
    };
  }

  // describe says the pictures' newest values to those who don't see them.
  describe() {
    const c = this.curve, i = c.step.length - 1;
    const name = (id, text) => document.getElementById(id).setAttribute("aria-label", text);
    name("loss-chart", `Loss over ${count(c.step[i])} steps, now ${lossText(c.loss[i])}`);
    name("rate-chart", `Images a second over steps, now ${digits(c.images_per_second[i])}`);
    name("stage-chart", `A step's time, now: ${stages.map(([label, , of]) => `${label} ${brief(of(c)[i])}`).join(", ")}`);
    name("slices-chart", `Loss by tenths of the timesteps, now ${c.slice_loss.map((v) => lossText(v[i])).join(", ")}`);
    // Which step is drawn, for whoever measures how late.
    document.getElementById("loss-chart").dataset.step = c.step[i];
  }
}

// join takes the bins of an event into a curve.
export function join(curve, more) {
  if (!curve || curve.width !== more.width) return more;
  if (more.step.length === 0) return curve;
  const bin = (step) => Math.floor((step - 1) / more.width);
  const first = bin(more.step[0]);
  let keep = curve.step.length;
  while (keep > 0 && bin(curve.step[keep - 1]) >= first) keep--;
  const out = { width: more.width };
  for (const name of Object.keys(more)) {
    if (!Array.isArray(more[name])) continue;
    const whole = (a, b) => a.slice(0, keep).concat(b);
    out[name] = Array.isArray(more[name][0]) ? more[name].map((b, i) => whole(curve[name][i], b)) : whole(curve[name], more[name]);
  }
  return out;
}
