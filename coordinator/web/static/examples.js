// What a step trains on: the plan's examples as the network gets them.
import { count, digits } from "./format.js";
import { element } from "./tables.js";

export class Examples {
  constructor() {
    const form = document.getElementById("examples-form");
    this.step = document.getElementById("examples-step");
    this.list = document.getElementById("examples");
    this.note = document.getElementById("examplesnote");
    form.addEventListener("submit", (e) => {
      e.preventDefault();
      this.see();
    });
  }

  async see() {
    this.note.textContent = "…";
    const step = this.step.value.trim();
    try {
      const answer = await fetch(`api/examples?n=24${step === "" ? "" : `&step=${encodeURIComponent(step)}`}`);
      if (!answer.ok) throw new Error(await answer.text());
      const all = await answer.json();
      this.list.replaceChildren(...all.examples.map((e) => this.figure(e, all)));
      this.note.textContent = `the first ${all.examples.length} of the step that follows ${count(all.step)} complete ones`;
    } catch (e) {
      this.note.textContent = e.message;
    }
  }

  figure(e, all) {
    const picture = (png, what) => element("img", { src: `data:image/png;base64,${png}`, alt: `${what} of example ${e.index}`, width: "72", height: "72" });
    const facts = [`t ${e.t} of ${all.timesteps}`, `ᾱ ${digits(e.alpha_bar)}`];
    if (e.class >= 0) facts.push(`class ${e.class}`);
    if (e.flip) facts.push("mirrored");
    return element("figure", { class: "example" },
      element("div", { class: "pair" }, picture(e.x0, "x0"), picture(e.xt, `xt at timestep ${e.t}`)),
      element("figcaption", {}, element("b", {}, `example ${count(e.index)}`), `slot ${e.slot}, shard ${e.shard} · ${facts.join(" · ")}`));
  }
}
