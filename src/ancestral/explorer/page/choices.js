// What a card lets one choose: the class of a conditional model, and how an any-order model generates pixels.

import { element } from "./dom.js";

// A list of names to choose one of.
export function choiceOf(names, changed) {
  return element("select", { onchange: changed }, ...names.map((name) => element("option", {}, name)));
}

export function classNames(thread) {
  return Array.from({ length: thread.facts?.classes ?? 0 }, (_, y) => thread.description.classes[y] ?? String(y));
}

// A list of the classes, with an entry for all of them; null for a model without classes.
export class ClassChoice {
  // all: the text of the first entry, for which `label` is null
  constructor(thread, all, changed) {
    const names = classNames(thread);
    this.select = choiceOf([all, ...names], changed);
    this.root = names.length ? element("div", { class: "tools" }, element("label", {}, "Class ", this.select)) : null;
  }

  get label() {
    return this.root && this.select.selectedIndex ? this.select.selectedIndex - 1 : null;
  }

  get words() {
    return this.label === null ? "" : ` of class ${this.select.value}`;
  }
}

// Number of parallel steps, and the order of the pixels; null for other models.
export class StepChoice {
  constructor(thread, changed) {
    const { steps, usualSteps } = thread.facts ?? {};
    const counts = (steps ?? []).map((count) => element("option", { selected: count === usualSteps }, String(count)));
    this.steps = element("select", { onchange: changed }, ...counts);
    this.order = choiceOf(["random order", "confidence order"], changed);
    const labels = [element("label", {}, "Steps ", this.steps), element("label", {}, "in ", this.order)];
    this.root = steps ? element("div", { class: "tools" }, ...labels) : null;
  }

  get how() {
    return { steps: Number(this.steps.value), confidence: this.order.selectedIndex === 1 };
  }
}
