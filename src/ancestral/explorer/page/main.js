// Opens the models, tests them, and builds the page.

import { ModelThread } from "./engine.js";

const read = (id) => JSON.parse(document.getElementById(id).textContent);

async function start() {
  const content = read("content");
  const source = read("worker");
  const threads = content.models.map((description) => new ModelThread(description, source));
  const open = threads.filter((thread) => thread.description.spec);
  const tests = Promise.all(open.map((thread) => thread.open()));
  window.explorer = { threads, selfTest: () => tests };
  const passed = (await tests).flat().every((test) => test.passed);
  document.documentElement.dataset.selftest = passed ? "ok" : "failed";
}

start().catch((error) => {
  document.documentElement.dataset.selftest = "failed";
  document.getElementById("app").textContent = `This page is damaged: ${error.message}`;
});
