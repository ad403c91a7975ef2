// rate-limiter-flexible and redlock, which decide by Lua scripts, on ioredis.

const Redis = require("ioredis");
const Redlock = require("redlock");
const { RateLimiterRedis } = require("rate-limiter-flexible");
const { expect, expectError, runAll, port } = require("./expect.js");

const redis = new Redis(port);

async function limiter() {
  const limits = new RateLimiterRedis({ storeClient: redis, points: 5, duration: 2 });
  const passed = [];
  for (let hit = 0; hit < 6; hit += 1) {
    try {
      passed.push((await limits.consume("ada")).remainingPoints);
    } catch (refused) {
      if (refused instanceof Error) throw refused;
      passed.push(refused.msBeforeNext > 0);
    }
  }
  expect("hits", passed, [4, 3, 2, 1, 0, true]);
  expect("get", (await limits.get("ada")).consumedPoints, 6);
  expect("reward", (await limits.reward("ada", 3)).consumedPoints, 3);
  await limits.block("bob", 10);
  expect("block", (await limits.get("bob")).msBeforeNext > 9000, true);
  expect("delete", [await limits.delete("bob"), await limits.get("bob")], [true, null]);
  await new Promise((done) => setTimeout(done, 2100));
  expect("when the time is over", (await limits.consume("ada")).remainingPoints, 4);
}

async function locks() {
  const patient = new Redlock([redis], { retryCount: 50, retryDelay: 20 });
  const hasty = new Redlock([redis], { retryCount: 0 });
  const lock = await patient.lock("lock", 10000);
  await expectError("a held lock", "Exceeded 0 attempts to lock", hasty.lock("lock", 1000));
  const longer = await lock.extend(20000);
  expect("extend", await redis.pttl("lock") > 15000, true);
  await longer.unlock();
  expect("unlock", await redis.exists("lock"), 0);
  await expectError("unlock twice", "Unable to fully release the lock", longer.unlock());
  await redis.set("counted", 0);
  await Promise.all([...Array(5)].map(async () => {
    const held = await patient.lock("counting", 5000);
    await redis.set("counted", Number(await redis.get("counted")) + 1);
    await held.unlock();
  }));
  expect("counted under a lock", await redis.get("counted"), "5");
}

runAll([limiter, locks]);
