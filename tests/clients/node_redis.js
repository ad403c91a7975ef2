// node-redis: values in RESP2 and RESP3, transactions, WATCH, scripts, scan iterators, a pool.

const { createClient, createClientPool, defineScript, WatchError } = require("redis");
const { expect, expectError, runAll, port } = require("./expect.js");

const COUNTERS = 4;
const COUNTED = 15;
const SCRIPTS = {
  addTo: defineScript({
    SCRIPT: "return redis.call('INCRBY', KEYS[1], ARGV[1])",
    NUMBER_OF_KEYS: 1,
    parseCommand(parser, key, number) {
      parser.pushKey(key);
      parser.push(String(number));
    },
    transformReply: (reply) => reply,
  }),
};

function client(RESP) {
  return createClient({ socket: { port }, RESP, scripts: SCRIPTS }).connect();
}

async function values(redis) {
  expect("set", await redis.set("a", "1", { EX: 100, NX: true }), "OK");
  expect("get", [await redis.get("a"), await redis.get("none")], ["1", null]);
  expect("hSet", await redis.hSet("h", { f: 1, g: 2 }), 2);
  expect("hGetAll", { ...(await redis.hGetAll("h")) }, { f: "1", g: "2" });
  expect("zAdd", await redis.zAdd("z", [{ score: 1, value: "a" }, { score: 2.5, value: "b" }]), 2);
  expect("zRangeWithScores", await redis.zRangeWithScores("z", 0, -1),
    [{ value: "a", score: 1 }, { value: "b", score: 2.5 }]);
  expect("sMembers", (await redis.sAdd("s", ["1", "2"]), [...await redis.sMembers("s")].sort()),
    ["1", "2"]);
  await expectError("an error", "WRONGTYPE", redis.incr("h"));
}

async function transactions(redis) {
  expect("multi", await redis.multi().set("p", 5).incrBy("p", 2).exec(), ["OK", 7]);
  expect("pipeline", await redis.multi().incr("p").get("p").execAsPipeline(), [8, "8"]);
  const many = await Promise.all([...Array(500).keys()].map((n) => redis.set(`m${n}`, String(n))));
  expect("many at a time", new Set(many), new Set(["OK"]));
  await redis.set("watched", 0);
  await Promise.all([...Array(COUNTERS)].map(countUp));
  expect("counted up by WATCH", await redis.get("watched"), String(COUNTERS * COUNTED));
}

async function countUp() {
  const redis = await client(2);
  for (let done = 0; done < COUNTED;) {
    await redis.watch("watched");
    const value = Number(await redis.get("watched"));
    try {
      await redis.multi().set("watched", value + 1).exec();
      done += 1;
    } catch (error) {
      if (!(error instanceof WatchError)) throw error;
    }
  }
  redis.destroy();
}

async function scripts(redis) {
  expect("a script", await redis.addTo("n", 5), 5);
  await redis.scriptFlush();
  expect("after SCRIPT FLUSH", await redis.addTo("n", 5), 10);
  expect("in a transaction", await redis.multi().addTo("n", 1).get("n").exec(), [11, "11"]);
}

async function scans(redis) {
  const found = new Set();
  for await (const keys of redis.scanIterator({ MATCH: "m*", COUNT: 50 })) {
    keys.forEach((key) => found.add(key));
  }
  expect("scanIterator", found.size, 500);
}

async function pool() {
  const shared = await createClientPool({ socket: { port } }, { maximum: 3 }).connect();
  await Promise.all([...Array(200)].map(() => shared.incr("pooled")));
  expect("a pool", await shared.get("pooled"), "200");
  shared.destroy();
}

function inProtocol(RESP) {
  return [values, transactions, scripts, scans].map((part) => {
    const run = async () => {
      const redis = await client(RESP);
      if (part === values) await redis.flushAll();
      if (part === scripts) await redis.del("n");
      await part(redis);
      redis.destroy();
    };
    return Object.defineProperty(run, "name", { value: `${part.name} in RESP${RESP}` });
  });
}

runAll([...inProtocol(2), ...inProtocol(3), pool]);
