// What the checks in JavaScript share: failures are collected and printed as JSON at the end.

const { isDeepStrictEqual, inspect } = require("node:util");

const failures = [];

function expect(what, got, expected) {
  if (!isDeepStrictEqual(got, expected)) {
    failures.push(`${what}: ${inspect(got)}, expected ${inspect(expected)}`);
  }
}

async function expectError(what, text, promise) {
  try {
    failures.push(`${what}: ${inspect(await promise)}, expected an error`);
  } catch (error) {
    if (!String(error.message).includes(text)) {
      failures.push(`${what}: ${error.message}, expected ${text}`);
    }
  }
}

// Runs the parts of a check one after the other; an exception ends its part alone.
async function runAll(parts) {
  for (const part of parts) {
    try {
      await part();
    } catch (error) {
      failures.push(`${part.name}: ${error.stack || error}`);
    }
  }
  console.log(JSON.stringify(failures));
  process.exit(0);
}

module.exports = { expect, expectError, runAll, port: Number(process.argv[2]) };
