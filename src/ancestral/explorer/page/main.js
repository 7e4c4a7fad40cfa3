// Opens the models, tests them, and builds the page.

import { App } from "./app.js";
import { ModelThread } from "./engine.js";

const read = (id) => JSON.parse(document.getElementById(id).textContent);

async function start() {
  const content = read("content");
  const source = read("worker");
  const threads = content.models.map((description) => new ModelThread(description, source));
  const tests = Promise.all(threads.filter((thread) => thread.worker).map((thread) => thread.open()));
  window.explorer = { threads, selfTest: () => tests };
  const results = await tests;
  const app = new App(document.getElementById("app"), content, threads);
  window.explorer.app = app;
  document.documentElement.dataset.selftest = app.tested(results) ? "ok" : "failed";
}

start().catch((error) => {
  document.documentElement.dataset.selftest = "failed";
  document.getElementById("app").textContent = `This page is damaged or cannot run here: ${error.message}`;
});
