// Opens the models, builds the page, and then tests the models.

import { App } from "./app.js";
import { ModelThread } from "./engine.js";
import { PlaneApp } from "./plane.js";

const read = (id) => JSON.parse(document.getElementById(id).textContent);

async function start() {
  const content = read("content");
  const source = read("worker");
  const threads = content.models.map((description) => new ModelThread(description, source));
  const running = threads.filter((thread) => thread.worker);
  await Promise.all(running.map((thread) => thread.open()));
  const Page = content.models[0].event.length === 1 ? PlaneApp : App;
  const app = new Page(document.getElementById("app"), content, threads);
  document.documentElement.dataset.ready = "";
  await new Promise((resolve) => setTimeout(resolve)); // the first picture comes before the test
  const tests = Promise.all(running.map((thread) => thread.test()));
  window.explorer = { app, threads, selfTest: () => tests };
  document.documentElement.dataset.selftest = app.selfTest.show(await tests) ? "ok" : "failed";
}

start().catch((error) => {
  document.documentElement.dataset.selftest = "failed";
  document.getElementById("app").textContent = `This page is damaged or cannot run here: ${error.message}`;
});
