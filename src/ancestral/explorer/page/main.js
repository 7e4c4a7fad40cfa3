// Opens the models, tests them, and builds the page.

import { App } from "./app.js";
import { ModelThread } from "./engine.js";
import { PlaneApp } from "./plane.js";

const read = (id) => JSON.parse(document.getElementById(id).textContent);

async function start() {
  const content = read("content");
  const source = read("worker");
  const threads = content.models.map((description) => new ModelThread(description, source));
  const tests = Promise.all(threads.filter((thread) => thread.worker).map((thread) => thread.open()));
  window.explorer = { threads, selfTest: () => tests };
  const results = await tests;
  const Page = content.models[0].event.length === 1 ? PlaneApp : App;
  const app = new Page(document.getElementById("app"), content, threads);
  window.explorer.app = app;
  document.documentElement.dataset.selftest = app.selfTest.show(results) ? "ok" : "failed";
}

start().catch((error) => {
  document.documentElement.dataset.selftest = "failed";
  document.getElementById("app").textContent = `This page is damaged or cannot run here: ${error.message}`;
});
