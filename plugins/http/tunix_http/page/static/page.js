/** What the page does beyond its HTML: charts, live runs, forms. Everything is there without it. */

import { drawCharts } from "./charts.js";
import { watchForms } from "./forms.js";
import { getApiHealth } from "./client.js";
import { followJob, followRun } from "./live.js";

const dataAddress = document.querySelector("#page-data").getAttribute("href");

async function showHealth(badge) {
  try {
    const { status } = await getApiHealth();
    badge.textContent = status;
    badge.dataset.status = status === "healthy" ? "completed" : "failed";
  } catch {
    badge.textContent = "not reachable";
    badge.dataset.status = "failed";
  }
}

const health = document.querySelector("[data-health]");
if (health) showHealth(health);

// On a phone the sections are a row that scrolls.
const section = document.querySelector("nav [aria-current=page]");
section?.scrollIntoView({ inline: "center", block: "nearest" });

watchForms(document);
drawCharts(document, dataAddress);

const run = document.querySelector("[data-live-run]");
if (run) followRun(run, dataAddress);
const job = document.querySelector("[data-live-job]");
if (job) followJob(job, dataAddress);
