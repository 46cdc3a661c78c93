// The official client for JavaScript with only baseURL and apiKey changed. Prints what it saw as one JSON object.
import { createReadStream } from "node:fs";
import assert from "node:assert/strict";
import OpenAI from "openai";

const [url, key, path] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 });
const grader = {
  type: "string_check",
  name: "exact",
  input: "{{sample.output_text}}",
  reference: "{{item.answer}}",
  operation: "eq",
};

const file = await client.files.create({ file: createReadStream(path), purpose: "fine-tune" });
assert.equal(file.status, "processed");
assert.equal(await (await client.files.content(file.id)).text(), await text(path));

const jobs = [];
for (const seed of [1, 2, 3]) {
  jobs.push(
    await client.fineTuning.jobs.create({
      model: "starter",
      training_file: file.id,
      seed,
      method: { type: "reinforcement", reinforcement: { grader, hyperparameters: { n_epochs: 1 } } },
    }),
  );
}
const listed = [];
for await (const job of client.fineTuning.jobs.list({ limit: 2 })) listed.push(job.id);
assert.deepEqual(listed, jobs.map((job) => job.id).reverse());

const events = await client.fineTuning.jobs.listEvents(jobs[0].id);
assert.equal(events.data[0].object, "fine_tuning.job.event");
assert.equal((await client.fineTuning.jobs.cancel(jobs[0].id)).status, "cancelled");

const errors = {};
for (const [name, ask] of Object.entries({
  missing: () => client.fineTuning.jobs.retrieve("ftjob-none"),
  ended: () => client.fineTuning.jobs.cancel(jobs[0].id),
  wrong: () => client.fineTuning.jobs.create({ model: "starter", training_file: file.id }),
  stranger: () => client.withOptions({ apiKey: "rlsd-wrong" }).models.list(),
})) {
  try {
    await ask();
  } catch (error) {
    errors[name] = { type: error.constructor.name, status: error.status, code: error.code, param: error.param };
  }
}

const bytes = Buffer.from(await text(path));
const upload = await client.uploads.create({
  filename: "parts.jsonl",
  bytes: bytes.length,
  mime_type: "application/jsonl",
  purpose: "fine-tune",
});
const part = await client.uploads.parts.create(upload.id, { data: new File([bytes], "part") });
const whole = await client.uploads.complete(upload.id, { part_ids: [part.id] });
assert.equal(whole.status, "completed");

console.log(JSON.stringify({ file: file.id, jobs: jobs.map((job) => job.id), errors, whole: whole.file.id }));

async function text(path) {
  const { readFile } = await import("node:fs/promises");
  return readFile(path, "utf8");
}
