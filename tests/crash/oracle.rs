//! The oracle: what a disk holds after a crash is the state after some prefix of the requests.
//!
//! The prefix is not shorter than what was promised and not longer than what was sent; requests
//! are whole; nothing temporary is left; a second start changes nothing; what a started server
//! shows survives the next crash. [`Case::explore`] crashes one run at one call of the disk and
//! looks at what several power cuts, and the end of the program alone, make of that moment.

use super::model::Model;
use super::run::{Progress, run};
use super::script::Script;
use super::state::{self, State};
use crate::support::machine::{Machine, Setup};
use crate::support::words::bulks;
use dredis::base::rng::Rng;
use dredis::disk::sim::{Cut, SimDisk};
use std::sync::Arc;

/// Databases that scripts use.
const DATABASES: u16 = 3;
/// Power cuts drawn from seeds, for each moment.
const SEEDS: u64 = 4;

/// One script with one order of turns.
pub struct Case {
    /// The script.
    pub script: Script,
    model: Model,
    seed: u64,
    /// Calls of the disk that a run makes.
    pub calls: u64,
}

/// What a recovered disk must hold.
#[derive(Clone, Copy)]
struct Bounds {
    from: usize,
    to: usize,
    now_ms: u64,
}

impl Case {
    /// Runs the script once without a crash.
    ///
    /// # Errors
    /// The run itself went wrong.
    pub fn new(script: &Script, seed: u64) -> Result<Case, String> {
        let mut model = Model::of(script, |_| false);
        if script.fills_disk() {
            let done = run(script, &model, &script.disk(seed), seed, true);
            model = Model::of(script, |n| refused(&done, n));
        }
        let disk = script.disk(seed);
        let done = run(script, &model, &disk, seed, false);
        let script = script.clone();
        let case = Case { script, model, seed, calls: disk.calls() };
        let wrong = done.wrong.clone().or(done.fatal.clone());
        match wrong {
            Some(wrong) => Err(case.name("without a crash", &wrong)),
            None => {
                let wrong = case.look_at(&disk.cut(Cut::Nothing), case.bounds(&done, true), 0);
                wrong.map(|_| ()).map_err(|error| case.name("after the end", &error))?;
                Ok(case)
            }
        }
    }

    fn name(&self, moment: &str, what: &str) -> String {
        format!("script '{}', seed {}, {moment}: {what}", self.script.name, self.seed)
    }

    fn bounds(&self, progress: &Progress, power: bool) -> Bounds {
        let from = if power { progress.safe } else { progress.told };
        Bounds { from, to: progress.sent, now_ms: progress.now_ms }
    }

    /// Crashes a run at a call of the disk. Answers how many disks were looked at.
    ///
    /// # Errors
    /// Says which of them breaks which promise.
    pub fn explore(&self, call: u64) -> Result<u64, String> {
        let disk = self.script.disk(self.seed);
        disk.crash_at(call);
        let progress = run(&self.script, &self.model, &disk, self.seed, false);
        if let Some(wrong) = &progress.wrong {
            return Err(self.name(&format!("before call {call}"), wrong));
        }
        let mut count = 0;
        let mut cuts = vec![Cut::Nothing];
        if disk.unsynced() > 0 {
            let seeds = SEEDS.min(disk.unsynced() as u64 * 2);
            cuts.push(Cut::Everything);
            cuts.extend((0..seeds).map(|n| Cut::Seed(call * SEEDS + n)));
        }
        for cut in cuts {
            let bounds = self.bounds(&progress, true);
            let looked = self.look_at(&disk.cut(cut), bounds, call);
            count += looked.map_err(|error| self.name(&format!("call {call}, {cut:?}"), &error))?;
        }
        let looked = self.look_at(&disk.kill(), self.bounds(&progress, false), call);
        count += looked.map_err(|error| self.name(&format!("call {call}, kill -9"), &error))?;
        Ok(count)
    }

    /// Has the first sync at a call or behind it fail. Answers how many disks were looked at.
    ///
    /// # Errors
    /// Says what was lost though it was promised.
    pub fn explore_failed_sync(&self, call: u64) -> Result<u64, String> {
        let disk = self.script.disk(self.seed);
        disk.sync_fails_at(call);
        let progress = run(&self.script, &self.model, &disk, self.seed, false);
        let moment = format!("a sync fails at call {call} or behind");
        if let Some(wrong) = &progress.wrong {
            return Err(self.name(&moment, wrong));
        }
        let mut count = 0;
        for cut in [Cut::Nothing, Cut::Everything, Cut::Seed(call)] {
            let looked = self.look_at(&disk.cut(cut), self.bounds(&progress, true), call);
            count += looked.map_err(|error| self.name(&format!("{moment}, {cut:?}"), &error))?;
        }
        // The next program finds in memory what the disk does not have.
        let bounds = self.bounds(&progress, progress.fatal.is_some());
        let looked = self.look_at(&disk.kill(), bounds, call);
        count += looked.map_err(|error| self.name(&format!("{moment}, kill -9"), &error))?;
        Ok(count)
    }

    /// Has one call of the disk fail with an errno. Answers how many disks were looked at.
    ///
    /// # Errors
    /// Says what the server made of it.
    pub fn explore_failed_call(&self, call: u64, errno: i32) -> Result<u64, String> {
        let disk = self.script.disk(self.seed);
        disk.fail_at(call, errno);
        let progress = run(&self.script, &self.model, &disk, self.seed, true);
        let moment = format!("call {call} fails with errno {errno}");
        if let Some(wrong) = &progress.wrong {
            return Err(self.name(&moment, wrong));
        }
        if progress.replies.iter().any(|reply| reply.starts_with(b"-ERR cannot read")) {
            return Ok(0); // It was told that its request was not run.
        }
        // Which requests a full disk refuses is another matter in every run.
        let changed = self.script.fills_disk() || (0..progress.sent).any(|n| refused(&progress, n));
        let other = changed.then(|| {
            let script = self.script.clone();
            let model = Model::of(&self.script, |n| refused(&progress, n));
            Case { script, model, seed: self.seed, calls: self.calls }
        });
        let case = other.as_ref().unwrap_or(self);
        let mut count = 0;
        for (name, disk) in [("a cut", disk.cut(Cut::Nothing)), ("kill -9", disk.kill())] {
            let bounds = case.bounds(&progress, name == "a cut");
            let looked = case.look_at(&disk, bounds, call);
            count += looked.map_err(|error| case.name(&format!("{moment}, {name}"), &error))?;
        }
        Ok(count)
    }

    /// Starts a server on what a crash left, and sometimes has it crash again. Answers how many
    /// disks were looked at.
    fn look_at(&self, disk: &SimDisk, bounds: Bounds, chance: u64) -> Result<u64, String> {
        let mut rng = Rng::new(chance ^ self.seed << 32);
        let spare = (rng.below(4) == 0).then(|| disk.cut(Cut::Everything));
        let (found, calls) = self.recover(disk, bounds, &mut rng)?;
        let mut count = 1;
        if rng.below(4) == 0 {
            let before = state::databases(disk.dump(""));
            let exact = Bounds { from: found, to: found, ..bounds };
            let (_, _) = self.recover(&disk.kill(), exact, &mut rng).map_err(second)?;
            let again = disk.kill();
            self.start(&again, bounds)?.settle();
            let after = state::databases(again.dump(""));
            // Where databases were swapped, expired keys are found late.
            let swapped = self.script.expires() && self.script.has("SWAPDB");
            if before != after && !swapped {
                let changed = |(path, content): &(&String, &Vec<u8>)| {
                    before.get(*path) != Some(content) || after.get(*path) != Some(content)
                };
                let paths = before.iter().chain(&after).filter(changed).map(|(path, _)| path);
                let paths: std::collections::BTreeSet<_> = paths.collect();
                return Err(format!("a second start changes {paths:?}"));
            }
            count += 1;
        }
        if let Some(spare) = spare {
            // The power goes again during recovery.
            spare.crash_at(1 + rng.below(calls));
            self.script.prepare(&spare, self.seed);
            if let Ok(mut machine) = self.start(&spare, bounds) {
                machine.settle();
            }
            for cut in [Cut::Nothing, Cut::Everything, Cut::Seed(rng.next_u64())] {
                self.recover(&spare.cut(cut), bounds, &mut rng)
                    .map_err(|error| format!("after a cut during recovery ({cut:?}): {error}"))?;
                count += 1;
            }
        }
        Ok(count)
    }

    fn start(&self, disk: &SimDisk, bounds: Bounds) -> Result<Machine, String> {
        let setup = Setup { now_ms: bounds.now_ms, ..self.script.setup(self.seed) };
        let started = Machine::start(Arc::new(disk.clone()), &setup);
        started.map_err(|error| format!("the start is refused: {error}"))
    }

    /// Starts a server, lets it bring everything into the tree, and finds the state it is in.
    /// Answers the number of requests it has, and of the disk's calls.
    fn recover(
        &self,
        disk: &SimDisk,
        bounds: Bounds,
        rng: &mut Rng,
    ) -> Result<(usize, u64), String> {
        self.script.prepare(disk, self.seed);
        self.script.give_room(disk);
        let mut machine = self.start(disk, bounds)?;
        let mut bounds = bounds;
        if rng.below(4) == 0 {
            let shown = ask(&mut machine, !self.script.expires())?;
            let found = self.find(&shown, bounds).map_err(|e| format!("before draining: {e}"))?;
            bounds.from = found;
            bounds.to = bounds.to.min(self.last_like(found, bounds));
            // What was shown survives the next cut.
            let after = disk.cut(Cut::Nothing);
            let mut next = self.start(&after, bounds).map_err(second)?;
            if !next.settle() {
                return Err("a second recovery does not come to rest".into());
            }
            let state = state::read(&after.dump(""))?;
            self.find(&state, bounds).map_err(second)?;
        }
        if !machine.settle() {
            let why = machine.engine.fatal().unwrap_or("no end").to_string();
            return Err(format!("recovery does not come to rest: {why}"));
        }
        machine.engine.keys.check()?;
        let state = state::read(&disk.dump(""))?;
        let found = self.find(&state, bounds)?;
        Ok((found, disk.calls()))
    }

    /// The first state within the bounds that this one is.
    fn find(&self, state: &State, bounds: Bounds) -> Result<usize, String> {
        let Bounds { from, to, now_ms } = bounds;
        let now = state::at(state, now_ms);
        let found = (from..=to).find(|n| state::at(&self.model.states[*n], now_ms) == now);
        found.ok_or_else(|| {
            let any = (0..self.model.states.len())
                .find(|n| state::at(&self.model.states[*n], now_ms) == now);
            let is = any.map_or("that of no prefix".into(), |n| format!("after {n} requests"));
            let wanted = state::tell(&state::at(&self.model.states[from], now_ms));
            let now = state::tell(&now);
            format!(
                "expected the state after {from} to {to} requests, found one that is \
                 {is}:\n{now}\n  the one after {from} is:\n{wanted}"
            )
        })
    }

    /// The last state within the bounds that is the same as this one.
    fn last_like(&self, n: usize, bounds: Bounds) -> usize {
        let like = state::at(&self.model.states[n], bounds.now_ms);
        let same = |m: &usize| state::at(&self.model.states[*m], bounds.now_ms) == like;
        (n..=bounds.to).rev().find(same).unwrap_or(n)
    }
}

fn refused(progress: &Progress, n: usize) -> bool {
    let refusals: [&[u8]; 2] = [b"-MISCONF", b"-EXECABORT"];
    let reply = progress.replies.get(n);
    reply.is_some_and(|reply| refusals.iter().any(|refusal| reply.starts_with(refusal)))
}

fn second(error: String) -> String {
    format!("after a second start: {error}")
}

/// The state as a client sees it; with `sizes` DBSIZE has to agree, which counts expired keys too.
fn ask(machine: &mut Machine, sizes: bool) -> Result<State, String> {
    let client = machine.connect();
    let mut state = State::new();
    for db in 0..DATABASES {
        machine.call(client, &["SELECT", &db.to_string()]);
        let names = bulks(&machine.call(client, &["KEYS", "*"]));
        for key in &names {
            let kind = machine.call(client, &[b"TYPE", &**key]);
            let kind = kind[1..].trim_ascii_end();
            let words = state::request_for(kind);
            let mut request = vec![words[0].as_bytes(), key];
            request.extend(words[1..].iter().map(|word| word.as_bytes()));
            let value = state::shown(words[0], &machine.call(client, &request))?;
            let deadline = number(&machine.call(client, &[b"PEXPIRETIME", &**key]))?;
            if let Some(value) = value {
                state.insert((db, key.clone()), (value, u64::try_from(deadline).ok()));
            }
        }
        let size = number(&machine.call(client, &["DBSIZE"]))?;
        if sizes && size != names.len() as i64 {
            return Err(format!("DBSIZE of {db} is {size}, KEYS has {}", names.len()));
        }
    }
    Ok(state)
}

fn number(reply: &[u8]) -> Result<i64, String> {
    let text = reply.strip_prefix(b":").and_then(|text| std::str::from_utf8(text).ok());
    let number = text.and_then(|text| text.trim_end().parse().ok());
    number.ok_or_else(|| format!("expected a number, got {}", crate::support::words::show(reply)))
}
