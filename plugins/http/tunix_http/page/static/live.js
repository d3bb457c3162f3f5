/** Runs and tuning jobs while they go on: progress, curves, log. */

import { redrawCharts } from "./charts.js";
import { fetchJSON, streamRunLogs } from "./client.js";

const POLL_MS = 1000;
const MOST_LINES = 5000;

/** Keep a run's page up to date until the run has ended. */
export function followRun(root, address) {
  const log = root.querySelector("[data-log]");
  if (log) followLog(root.dataset.liveRun, log);
  const url = new URL(address, location.href);
  url.searchParams.set("log", "0");
  poll(async () => {
    const data = await fetchJSON(url.pathname + url.search);
    show(root, data);
    await redrawCharts(document, data);
    return data.active;
  });
}

function followLog(runId, log) {
  const listeners = { log: ({ stream, chunk }) => append(log, stream, chunk) };
  streamRunLogs(runId, listeners, { since_seq: log.dataset.lastSeq });
  log.scrollTop = log.scrollHeight;
}

/** Keep a tuning job's page up to date: a change is shown by loading the page again. */
export function followJob(root, address) {
  const before = root.dataset.done;
  poll(async () => {
    const data = await fetchJSON(address);
    if (data.active && String(data.done) === before) return true;
    location.reload();
    return false;
  });
}

/** Call `step` again and again until it says false; a slow server is asked less often. */
async function poll(step) {
  let go = true;
  while (go) {
    const begun = performance.now();
    try {
      go = document.hidden || (await step());
    } catch {
      // The server is restarting, say; it is asked again.
    }
    const wait = Math.max(POLL_MS, 4 * (performance.now() - begun));
    if (go) await new Promise((resolve) => setTimeout(resolve, wait));
  }
}

function show(root, { run, active, progress, last }) {
  const status = root.querySelector("[data-run-status]");
  if (status.dataset.status !== run.status) {
    status.dataset.status = run.status;
    status.textContent = run.status.replace("_", " ");
    root.querySelector("[data-announce]").textContent = `The run is ${run.status}.`;
  }
  const started = run.started_at?.slice(0, 19).replace("T", " ");
  root.querySelector("[data-started]").textContent = started ?? "–";
  showProgress(root, progress, last);
  showLast(root.querySelector("[data-last]"), last);
  if (!active) {
    // What only an ended run has: its outcome, its files, what can be done with it.
    setTimeout(() => location.reload(), 600);
  }
}

function showProgress(root, { step, total_steps: total, loss }, last) {
  if (step === null || total === null) return;
  const bar = root.querySelector("[data-progress]");
  bar.max = Math.max(total, 1);
  bar.value = step;
  const shown = loss ?? last.loss;
  const beside = shown === undefined || shown === null ? "" : `, loss ${shown.toFixed(3)}`;
  root.querySelector("[data-progress-text]").textContent = `step ${step} of ${total}${beside}`;
}

/** The newest value of every figure that the trainer reports. */
function showLast(place, last) {
  const facts = Object.entries(last).flatMap(([name, value]) => {
    const term = document.createElement("dt");
    const held = document.createElement("dd");
    term.textContent = name.replaceAll("_", " ");
    held.textContent = value === null ? "–" : Number(value.toPrecision(5)).toLocaleString("en");
    held.className = "number";
    return [term, held];
  });
  place?.replaceChildren(...facts);
}

function append(log, stream, chunk) {
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  const line = document.createElement("span");
  line.className = stream;
  line.textContent = chunk;
  log.querySelector("[data-nothing]")?.remove();
  log.append(line);
  while (log.childElementCount > MOST_LINES) log.firstElementChild.remove();
  if (atEnd) log.scrollTop = log.scrollHeight;
}
