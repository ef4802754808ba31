// The dashboard: what the coordinator's event stream says, as it says it.
import { Charts, join } from "./charts.js";
import { ago, brief, bytes, count, digits, flops, long, loss as lossText } from "./format.js";
import { Examples } from "./examples.js";
import { Jobs } from "./jobs.js";
import { ring } from "./ring.js";
import { Checkpoints, Workers, generations } from "./tables.js";

const at = (id) => document.getElementById(id);
const write = (id, text) => { if (at(id).textContent !== text) at(id).textContent = text; };
// In the status null is what is not known.
const value = (n) => n ?? NaN;

const charts = new Charts();
const workers = new Workers();
const checkpoints = new Checkpoints();
const jobs = new Jobs();
new Examples();
let curve = null;
let ended = false;

const moods = { training: "good", saving: "good", ended: "quiet", paused: "bad" };

function show(s) {
  document.title = `${s.run}: ${s.phase}, step ${count(s.step)}`;
  write("run", s.run);
  write("phase", s.phase);
  at("phase").className = `chip ${moods[s.phase] ?? "warn"}`;
  write("reason", s.reason);
  glance(s);
  workers.set(s.workers);
  workers.gone(s.at, s.gone);
  generations(s.at, s.history);
  ring(s.workers);
  jobs.of(s.run);
  checkpoints.see(s.checkpoint ? s.checkpoint.step : null);
  write("footer", `ddpm ${s.version} · this coordinator has led for ${long((Date.parse(s.at) - Date.parse(s.started)) / 1000)}` +
    (s.access ? ` · ${count(s.access.refused + s.access.limited)} connections refused` : ""));
  ended = s.phase === "ended";
}

function glance(s) {
  write("step", count(s.step));
  at("done").value = s.steps ? s.step / s.steps : 0;
  const percent = s.steps ? `${digits((100 * s.step) / s.steps)} % of ${count(s.steps)}` : "";
  write("left", s.seconds_left === null ? percent : `${percent} · ${long(s.seconds_left)} left`);
  write("loss", lossText(value(s.loss_mean)));
  const skipped = s.skipped ? ` · ${count(s.skipped)} steps skipped` : "";
  write("norm", `last step ${lossText(value(s.loss))} · gradient ${digits(value(s.gradient_norm))}${skipped}`);
  write("rate", digits(value(s.images_per_second)));
  write("steptime", s.seconds_per_step === null ? "" : `${brief(s.seconds_per_step)} a step`);
  write("peak", s.peak_share === null ? "–" : `${digits(100 * s.peak_share)} %`);
  write("peaknote", s.flops_per_second === null ? "" : `${flops(s.flops_per_second)} of ${flops(s.peak_flops_per_second)}`);
  const members = s.workers.filter((w) => w.shards > 0).length;
  write("members", members === s.workers.length ? count(members) : `${count(members)} of ${count(s.workers.length)}`);
  write("all-reduce", s.all_reduce ? `all-reduce: ${s.all_reduce}` : "");
  write("generation", `generation ${count(s.generation)}` + (s.gone.length ? ` · ${count(s.gone.length)} gone lately` : ""));
  const c = s.checkpoint;
  write("checkpoint", c ? count(c.step) : "none yet");
  const given = s.checkpoints_given_up ? `${count(s.checkpoints_given_up)} given up, the last of ${s.checkpoint_given_up_reason}` : "";
  write("checkpointnote", [c?.at ? ago(s.at, c.at) : "", c ? bytes(c.bytes ?? 0) : "", given].filter(Boolean).join(" · "));
}

function listen() {
  const stream = new EventSource("api/events");
  stream.addEventListener("open", () => write("link", ""));
  stream.addEventListener("status", (e) => show(JSON.parse(e.data)));
  stream.addEventListener("curve", (e) => {
    curve = join(curve, JSON.parse(e.data));
    charts.set(curve);
  });
  stream.addEventListener("error", () => {
    if (ended) stream.close(); // there is nobody left to ask
    write("link", ended ? "the coordinator has ended" : "connection lost, trying again");
  });
}

at("smoothing").addEventListener("input", (e) => {
  const weight = Number(e.target.value);
  write("smoothed", weight.toFixed(2));
  charts.change({ weight });
});
at("log").addEventListener("change", (e) => charts.change({ log: e.target.checked }));
listen();
