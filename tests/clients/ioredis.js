// ioredis: values, pipelines, transactions, WATCH, commands made of Lua scripts, scan streams.

const Redis = require("ioredis");
const { expect, expectError, runAll, port } = require("./expect.js");

const COUNTERS = 4;
const COUNTED = 15;
const redis = new Redis(port);

async function values() {
  expect("set", await redis.set("a", "1", "EX", 100, "NX"), "OK");
  expect("get", [await redis.get("a"), await redis.get("none")], ["1", null]);
  expect("getBuffer", await redis.getBuffer("a"), Buffer.from("1"));
  expect("hset", await redis.hset("h", { f: 1, g: 2 }), 2);
  expect("hgetall", await redis.hgetall("h"), { f: "1", g: "2" });
  expect("zadd", await redis.zadd("z", 1, "a", 2.5, "b"), 2);
  expect("zrange", await redis.zrange("z", 0, -1, "WITHSCORES"), ["a", "1", "b", "2.5"]);
  expect("zpopmin", await redis.zpopmin("z"), ["a", "1"]);
  expect("smembers", (await redis.sadd("s", 1, 2), await redis.smembers("s")).sort(), ["1", "2"]);
  await expectError("an error", "WRONGTYPE", redis.incr("h"));
}

async function pipelines() {
  expect("pipeline", await redis.pipeline().set("p", 1).incr("p").get("p").exec(),
    [[null, "OK"], [null, 2], [null, "2"]]);
  expect("multi", await redis.multi().set("p", 5).incrby("p", 2).exec(), [[null, "OK"], [null, 7]]);
  await redis.multi({ pipeline: false });
  expect("queued", await redis.incr("p"), "QUEUED");
  expect("exec", await redis.exec(), [[null, 8]]);
  const [first, second] = await redis.multi().incr("h").incr("p").exec();
  expect("multi with an error", [first[0].message.slice(0, 9), second[1]], ["WRONGTYPE", 9]);
  const automatic = new Redis(port, { enableAutoPipelining: true });
  const replies = await Promise.all([...Array(500).keys()].map((n) => automatic.set(`m${n}`, n)));
  expect("auto-pipelining", new Set(replies), new Set(["OK"]));
  automatic.disconnect();
}

async function scripts() {
  redis.defineCommand("addTo", {
    numberOfKeys: 1,
    lua: "return redis.call('INCRBY', KEYS[1], ARGV[1])",
  });
  expect("a command of a script", await redis.addTo("n", 5), 5);
  await redis.script("FLUSH");
  expect("after SCRIPT FLUSH", await redis.addTo("n", 5), 10);
  await redis.script("FLUSH");
  // ioredis sends again what NOSCRIPT refused, after the rest of the pipeline.
  expect("in a pipeline", await redis.pipeline().addTo("n", 1).addTo("n", 1).exec(),
    [[null, 11], [null, 12]]);
}

async function countUp() {
  const client = new Redis(port);
  for (let done = 0; done < COUNTED;) {
    await client.watch("watched");
    const value = Number(await client.get("watched"));
    if (await client.multi().set("watched", value + 1).exec()) done += 1;
  }
  client.disconnect();
}

async function watch() {
  await redis.set("watched", 0);
  await Promise.all([...Array(COUNTERS)].map(countUp));
  expect("counted up by WATCH", await redis.get("watched"), String(COUNTERS * COUNTED));
}

async function scans() {
  const found = new Set();
  for await (const keys of redis.scanStream({ match: "m*", count: 50 })) {
    keys.forEach((key) => found.add(key));
  }
  expect("scanStream", found.size, 500);
  const fields = [];
  for await (const pairs of redis.hscanStream("h")) fields.push(...pairs);
  expect("hscanStream", fields.length, 4);
}

async function reconnects() {
  const client = new Redis(port, { connectionName: "victim", db: 3 });
  await redis.client("KILL", "ID", await client.client("ID"));
  await client.set("here", 1);
  expect("the database and name after CLIENT KILL", [
    await client.get("here"), await client.client("GETNAME")], ["1", "victim"]);
  client.disconnect();
}

runAll([values, pipelines, scripts, watch, scans, reconnects]);
