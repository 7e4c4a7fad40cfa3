// The result of the self-test, in a corner of the page.

import { element } from "./dom.js";

export class SelfTestNotice {
  constructor() {
    this.root = element("p", { class: "selftest", role: "status" }, "self-test: running");
  }

  // results: of all models; whether all calculations agree with PyTorch's
  show(results) {
    const tests = results.flat();
    const passed = tests.every((test) => test.passed);
    this.root.textContent = passed
      ? `self-test passed: ${tests.length} calculations equal PyTorch's`
      : "self-test FAILED: this browser computes other numbers than PyTorch. Do not trust this page.";
    this.root.classList.toggle("failed", !passed);
    return passed;
  }
}
