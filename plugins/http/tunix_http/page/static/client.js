/** The API from JavaScript: one function per operation, named as its operationId. */

/** An answer that is no success. */
export class ApiError extends Error {
  /**
   * @param {number} status HTTP status.
   * @param {string | object[]} detail What the server says: text, or a list of validation items.
   */
  constructor(status, detail) {
    super(typeof detail === "string" ? detail : detail.map(describeItem).join("; "));
    this.name = "ApiError";
    this.status = status;
    this.detail = detail;
  }
}

/**
 * Send a request and read its JSON answer.
 *
 * @param {string} path Path on this server.
 * @param {object} [options] `query`: names and values for the address; `json`: a value to send;
 *   everything else is as for `fetch`.
 * @returns {Promise<any>} The answer; null where it is empty.
 * @throws {ApiError} The server refuses or fails.
 */
export async function fetchJSON(path, options = {}) {
  const text = await (await send(path, options)).text();
  return text === "" ? null : JSON.parse(text);
}

async function fetchText(path, options = {}) {
  return (await send(path, options)).text();
}

async function fetchBlob(path, options = {}) {
  return (await send(path, options)).blob();
}

async function send(path, { query, json, headers, ...rest } = {}) {
  const sent = new Headers(headers);
  if (json !== undefined) {
    sent.set("Content-Type", "application/json");
    rest = { method: "POST", ...rest, body: JSON.stringify(json) };
  }
  const response = await fetch(address(path, query), { ...rest, headers: sent });
  if (!response.ok) {
    throw new ApiError(response.status, await readDetail(response));
  }
  return response;
}

async function readDetail(response) {
  const text = await response.text();
  try {
    const { detail } = JSON.parse(text);
    return detail ?? text;
  } catch {
    return text || response.statusText;
  }
}

function describeItem({ loc = [], msg = "refused" }) {
  const place = loc.slice(1).join(".");
  return place === "" ? msg : `${place}: ${msg}`;
}

/** A path with its query; what is null or undefined is left out. */
function address(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined);
  return given.length === 0 ? path : `${path}?${new URLSearchParams(given)}`;
}

/** A path with its parts escaped: at`/api/traces/${id}`. */
function at(texts, ...parts) {
  return String.raw({ raw: texts }, ...parts.map(encodeURIComponent));
}

const post = (path, json, query) => fetchJSON(path, { method: "POST", json, query });

// health
export const getApiHealth = () => fetchJSON("/api/health");
export const getRediHealth = () => fetchJSON("/api/redi/health");
export const getMetrics = () => fetchText("/metrics");

// traces
export const createTrace = (trace) => post("/api/traces", trace);
export const listTraces = (query) => fetchJSON("/api/traces", { query });
export const createTracesBatch = (traces) => post("/api/traces/batch", traces);
export const compareTraces = (base, other) =>
  fetchJSON("/api/traces/compare", { query: { base, other } });
export const getTrace = (traceId) => fetchJSON(at`/api/traces/${traceId}`);
export const scoreTrace = (traceId, request = {}) => post(at`/api/traces/${traceId}/score`, request);

// ungar
export const getUngarStatus = () => fetchJSON("/api/ungar/status");
export const generateHighCardDuel = (request) =>
  post("/api/ungar/high-card-duel/generate", request);
export const exportHighCardDuel = (query) =>
  fetchText("/api/ungar/high-card-duel/export.jsonl", { query });

// datasets
export const buildDataset = (request) => post("/api/datasets/build", request);
/**
 * Store the traces of a file.
 *
 * @param {object | Blob} request `{path, source_name}` for a file on the server; or a file of
 *   JSON lines to upload.
 * @param {object} [query] `source_name` of an uploaded file.
 */
export const ingestDataset = (request, query) =>
  request instanceof Blob
    ? fetchJSON("/api/datasets/ingest", {
        method: "POST",
        query,
        body: request,
        headers: { "Content-Type": "application/x-ndjson" },
      })
    : post("/api/datasets/ingest", request, query);
export const exportDataset = (datasetKey, query) =>
  fetchText(at`/api/datasets/${datasetKey}/export.jsonl`, { query });

// tunix
export const getTunixStatus = () => fetchJSON("/api/tunix/status");
export const exportSft = (request) =>
  fetchText("/api/tunix/sft/export", { method: "POST", json: request });
export const createSftManifest = (request) => post("/api/tunix/sft/manifest", request);
/** Start a run; with `{mode: "async"}` the answer comes at once and a worker executes it. */
export const startRun = (request, query) => post("/api/tunix/run", request, query);

// runs
export const listRuns = (query) => fetchJSON("/api/tunix/runs", { query });
export const getRun = (runId) => fetchJSON(at`/api/tunix/runs/${runId}`);
export const getRunStatus = (runId) => fetchJSON(at`/api/tunix/runs/${runId}/status`);
/**
 * Follow a run's log.
 *
 * @param {string} runId The run.
 * @param {object} listeners `log`, `heartbeat`, `status`, `error`: each called with the event's
 *   data. After `status` and `error` of the server there is no more.
 * @param {object} [query] `since_seq`: the last chunk that is known already.
 * @returns {EventSource} Call its `close()` to stop.
 */
export function streamRunLogs(runId, listeners, query) {
  const stream = new EventSource(address(at`/api/tunix/runs/${runId}/logs`, query));
  for (const name of ["log", "heartbeat", "status", "error"]) {
    stream.addEventListener(name, (event) => {
      // The browser tells of a lost connection by an error without data, and connects again.
      if (event.data === undefined) return;
      if (name === "status" || name === "error") stream.close();
      listeners[name]?.(JSON.parse(event.data));
    });
  }
  return stream;
}
export const cancelRun = (runId) =>
  fetchJSON(at`/api/tunix/runs/${runId}/cancel`, { method: "POST" });
export const listRunArtifacts = (runId) => fetchJSON(at`/api/tunix/runs/${runId}/artifacts`);
export const downloadRunArtifact = (runId, path) =>
  fetchBlob(`${at`/api/tunix/runs/${runId}/artifacts/`}${escapePath(path)}/download`);
export const getRunMetrics = (runId, query) =>
  fetchJSON(at`/api/tunix/runs/${runId}/metrics`, { query });

// evaluation
export const evaluateRun = (runId, request = {}) =>
  post(at`/api/tunix/runs/${runId}/evaluate`, request);
export const getRunEvaluation = (runId) => fetchJSON(at`/api/tunix/runs/${runId}/evaluation`);
export const listEvaluations = (query) => fetchJSON("/api/tunix/evaluations", { query });

// regression
export const createRegressionBaseline = (request) => post("/api/regression/baselines", request);
export const checkRegression = (request) => post("/api/regression/check", request);

// tuning
export const createTuningJob = (request) => post("/api/tuning/jobs", request);
export const listTuningJobs = (query) => fetchJSON("/api/tuning/jobs", { query });
export const getTuningJob = (jobId) => fetchJSON(at`/api/tuning/jobs/${jobId}`);
export const startTuningJob = (jobId) =>
  fetchJSON(at`/api/tuning/jobs/${jobId}/start`, { method: "POST" });

// models
export const createModel = (request) => post("/api/models", request);
export const listModels = (query) => fetchJSON("/api/models", { query });
export const getModel = (artifactId) => fetchJSON(at`/api/models/${artifactId}`);
export const promoteModelVersion = (artifactId, request) =>
  post(at`/api/models/${artifactId}/versions/promote`, request);
export const getModelVersion = (versionId) => fetchJSON(at`/api/models/versions/${versionId}`);
export const downloadModelVersion = (versionId) =>
  fetchBlob(at`/api/models/versions/${versionId}/download`);

function escapePath(path) {
  return path.split("/").map(encodeURIComponent).join("/");
}
