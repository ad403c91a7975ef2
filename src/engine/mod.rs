//! The server without sockets and threads: sessions, commands, and the pipeline behind them.
//!
//! The engine is driven from outside: bytes come in for a session, [`Engine::tick`] says what time
//! it is, jobs go out to the lanes and reports come back. The event loop drives it with sockets and
//! threads, tests with a simulated disk and any order of jobs. It alone runs commands.
//!
//! `mod.rs` has the clients' side, `pipeline.rs` what flows from batch to tree, `reports.rs` what
//! helpers answer, `upkeep.rs` expiry, walks and figures.

mod pipeline;
mod reports;
mod start;
mod upkeep;

use crate::base::variant::{Step, step};
use crate::command::client::{Client, ClientId, Clients, Closing, Replies};
use crate::command::server::Server;
use crate::config::Fsync;
use crate::disk::Disk;
use crate::dispatch::{self, Caller, Ground, Paused, Ran};
use crate::journal::Group;
use crate::keyspace::WARM_MAX;
use crate::keyspace::{Error, Grant, Keyspace, Miss, Need};
use crate::lanes::{Ask, Job, Lane, Question, Report};
use crate::layout::op::{Db, Seq};
use crate::resp::{Limits, Parsed, glance};
use crate::session::{Parked, Session};
use hashbrown::HashMap;
use pipeline::{Listing, Pipeline};
pub use start::{Opened, Settings, StartError, open};
use std::collections::VecDeque;
use std::sync::Arc;
use upkeep::Upkeep;

/// Bytes that a client may have sent and that no command has taken, as in Redis.
const QUERY_BYTES_MAX: usize = 1 << 30;
/// The same before it has authenticated.
const QUERY_BYTES_UNKNOWN_MAX: usize = 1 << 20;

/// Where a client comes from.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// Its address and port, or the Unix socket's path.
    pub addr: String,
    /// Our address and port, or the Unix socket's path.
    pub local_addr: String,
    /// File descriptor of the socket.
    pub fd: i64,
}

/// The whole server but for sockets and threads.
pub struct Engine {
    /// All keys.
    pub keys: Keyspace,
    /// Everyone who is connected.
    pub clients: Clients,
    /// Configuration and figures.
    pub server: Server,
    disk: Arc<dyn Disk>,
    sessions: HashMap<ClientId, Box<Session>>,
    group: Group,
    jobs: VecDeque<Job>,
    busy: HashMap<Lane, usize>,
    /// Clients whose parked command can run again.
    runnable: VecDeque<ClientId>,
    /// Clients with replies to send or to be disconnected, for the event loop.
    ready: Vec<ClientId>,
    /// Clients with replies behind a gate.
    gated: Vec<ClientId>,
    /// Who waits for what is being loaded.
    loading: HashMap<Miss, Vec<ClientId>>,
    waiting: Waiting,
    pipeline: Pipeline,
    upkeep: Upkeep,
    fatal: Option<String>,
    /// The transaction whose script runs for long.
    paused: Paused,
    /// What helpers answered meanwhile.
    stashed: Vec<(Lane, Report)>,
    /// Clients that have gone meanwhile.
    leaving: Vec<ClientId>,
}

/// Room that is made for a request of which little has come.
const READ_AHEAD_BYTES: usize = 16 << 10;

/// Parked clients, by what they wait for.
#[derive(Default)]
struct Waiting {
    room: VecDeque<ClientId>,
    unpaused: Vec<ClientId>,
    moved: Vec<(Seq, ClientId)>,
    applied: Vec<(Seq, ClientId)>,
    synced: Vec<(Seq, ClientId)>,
    counts: Vec<(Db, ClientId)>,
    backup_start: Vec<(Seq, String, ClientId)>,
    backup_began: Vec<ClientId>,
    /// The journal was asked to begin a backup; perhaps nobody waits for it any more.
    backup_asked: bool,
    backup_stop: Vec<ClientId>,
    no_backup: Vec<ClientId>,
}

impl Engine {
    /// A client has connected. `None` where there are too many.
    pub fn connect(&mut self, peer: Peer) -> Option<ClientId> {
        if self.clients.len() >= self.server.config.maxclients as usize {
            self.server.stats.rejected += 1;
            return None;
        }
        self.server.stats.connections += 1;
        let now_ms = self.server.now_ms;
        let authenticated = self.server.config.password.is_empty();
        let id = self.clients.add(|id| Client {
            id,
            addr: peer.addr,
            local_addr: peer.local_addr,
            fd: peer.fd,
            since_ms: now_ms,
            active_ms: now_ms,
            authenticated,
            ..Client::default()
        });
        self.sessions.insert(id, Box::default());
        Some(id)
    }

    /// A client has gone.
    pub fn disconnect(&mut self, id: ClientId) {
        if self.paused.client() == Some(id) {
            self.server.scripts.killed = true; // Nobody is there to be told what came of it.
            self.go_on();
        } else if self.paused.client().is_some() {
            return self.leaving.push(id);
        }
        self.sessions.remove(&id);
        self.keys.unpin(id);
        self.clients.remove(id);
        self.waiting.forget(id);
    }

    /// Room for what a client sends: at least `bytes` of it behind what is there already.
    pub fn input(&mut self, id: ClientId) -> Option<&mut Vec<u8>> {
        self.sessions.get_mut(&id).map(|session| {
            session.compact();
            &mut session.input
        })
    }

    /// Runs the requests that a client has sent, until one is parked or cut off.
    pub fn run(&mut self, id: ClientId) {
        let Some(mut session) = self.sessions.remove(&id) else { return };
        self.upkeep.note_activity();
        if let Some(client) = self.clients.get_mut(id) {
            client.active_ms = self.server.now_ms;
        }
        let gated = session.is_gated();
        self.server.profile.begin();
        let mut warm_until = 0;
        while session.parked.is_none() && !self.is_full(&session) {
            if session.at >= warm_until {
                warm_until = self.warm(id, &session);
            }
            if !self.run_one(id, &mut session) {
                break;
            }
        }
        if let Some(client) = self.clients.get_mut(id) {
            client.blocked = session.parked.is_some();
            client.input_bytes = [session.unread().len(), session.input.capacity()];
            client.output_bytes = session.unsent();
        }
        if !gated && session.is_gated() {
            self.gated.push(id);
        }
        session.held = session.parked.is_none() && self.is_full(&session);
        let authenticated = self.clients.get(id).is_none_or(|client| client.authenticated);
        let bytes_max = if authenticated { QUERY_BYTES_MAX } else { QUERY_BYTES_UNKNOWN_MAX };
        if session.unread().len() > bytes_max {
            log::warn!(
                "client {id} was disconnected: its request is longer than {bytes_max} bytes"
            );
            self.close(id, Closing::AtOnce);
        }
        self.sessions.insert(id, session);
        self.ready.push(id);
    }

    /// Whether a client has left so many replies unread that its next commands wait.
    fn is_full(&self, session: &Session) -> bool {
        session.unsent() as u64 > self.server.config.output_bytes
    }

    /// Runs what a client has sent and that waited until it had read enough of its replies.
    pub fn resume(&mut self, id: ClientId) {
        if self.sessions.get(&id).is_some_and(|session| session.held && !self.is_full(session)) {
            self.run(id);
        }
    }

    /// Touches what the next requests of a pipeline will read. Answers where the last of them ends.
    fn warm(&self, id: ClientId, session: &Session) -> usize {
        let mut keys: [&[u8]; WARM_MAX] = [&[]; WARM_MAX];
        let mut count = 0;
        let mut at = session.at;
        while count < WARM_MAX
            && let Some((span, end)) = glance(&session.input[at..], key_position)
        {
            keys[count] = &session.input[at + span.start..at + span.end];
            at += end;
            count += 1;
        }
        if count > 1
            && let Some(client) = self.clients.get(id)
        {
            self.keys.warm(client.db, &keys[..count]);
        }
        if count < WARM_MAX { usize::MAX } else { at }
    }

    /// Runs one request. Answers whether the next one may run.
    fn run_one(&mut self, id: ClientId, session: &mut Session) -> bool {
        let Some(client) = self.clients.get_mut(id) else { return false };
        if client.closing.is_some() {
            return false;
        }
        let caller = Caller {
            id,
            db: client.db,
            protocol: client.protocol,
            authenticated: client.authenticated,
            no_touch: client.no_touch,
        };
        if client.replies == Replies::Skip {
            client.replies = Replies::SkipThis;
        }
        session.replies = client.replies;
        let limits = Limits {
            authenticated: client.authenticated,
            bulk_bytes_max: self.server.config.proto_max_bulk_len as usize,
        };
        let end = match session.parser.parse(&session.input[session.at..], limits) {
            Ok(Parsed::Command { end }) => end,
            Ok(Parsed::Empty { end }) => {
                session.consume(end);
                return !session.unread().is_empty();
            }
            Ok(Parsed::Incomplete { need }) => {
                // What is announced may never come: room for as much as is there already.
                session.input.reserve(need.min(session.unread().len().max(READ_AHEAD_BYTES)));
                return false;
            }
            Err(error) => {
                let start = session.output.len();
                crate::resp::Reply::new(&mut session.output, caller.protocol)
                    .error_bytes(&error.text());
                self.mute(id, session, start);
                self.close(id, Closing::AfterReplies);
                return false;
            }
        };
        self.execute(caller, session, end)
    }

    /// What commands run on.
    fn ground(&mut self) -> Ground<'_> {
        Ground {
            keys: &mut self.keys,
            clients: &mut self.clients,
            server: &mut self.server,
            group: &mut self.group,
            paused: &mut self.paused,
        }
    }

    fn execute(&mut self, caller: Caller, session: &mut Session, end: usize) -> bool {
        let start = session.output.len();
        let args = session.parser.args(&session.input[session.at..]);
        let mut ground = self.ground();
        let ran = if ground.paused.client().is_some() {
            dispatch::attend(&mut ground, caller, args, &mut session.output);
            Ran::Done(0)
        } else {
            dispatch::execute(&mut ground, caller, args, &mut session.grant, &mut session.output)
        };
        self.conclude(caller.id, session, ran, start, end)
    }

    /// Takes in how a request ended, which is `end` bytes long and whose reply begins at `start`.
    /// Answers whether the next one may run.
    fn conclude(
        &mut self,
        id: ClientId,
        session: &mut Session,
        ran: Ran,
        start: usize,
        end: usize,
    ) -> bool {
        match ran {
            Ran::Done(shown) => {
                self.mute(id, session, start);
                if shown > self.pipeline.visible && step(Step::ReplyWaits) {
                    session.gate(start, shown);
                }
                session.grant = None;
                self.keys.unpin(id);
                session.consume(end);
                // Behind SHUTDOWN nothing runs any more.
                !session.unread().is_empty() && self.server.shutdown.is_none()
            }
            Ran::Parked(need) => {
                session.parked = Some(Parked::default());
                self.park(id, session, need);
                false
            }
            Ran::Paused => {
                session.parked = Some(Parked::default());
                self.server.scripts.busy = true;
                false
            }
        }
    }

    /// Takes back the replies from `start` on, where the client does not want them.
    fn mute(&mut self, id: ClientId, session: &mut Session, start: usize) {
        if session.replies == Replies::On {
            return;
        }
        let Some(client) = self.clients.get_mut(id) else { return };
        if matches!(client.replies, Replies::Off | Replies::SkipThis) {
            session.output.truncate(start);
        }
        if client.replies == Replies::SkipThis {
            client.replies = Replies::On;
        }
    }

    /// Goes on with the script that runs for long, for a while, if there is one. Until it has ended
    /// nothing else goes on, and others are told that the server is busy.
    pub fn go_on(&mut self) {
        let Some(id) = self.paused.client() else { return };
        let Some(mut session) = self.sessions.remove(&id) else { return };
        self.server.scripts.killed |= self.server.shutdown.is_some();
        let (start, gated) = (session.output.len(), session.is_gated());
        let end = session.request_len();
        let args = session.parser.args(&session.input[session.at..]);
        let mut ground = self.ground();
        let ran = dispatch::go_on(&mut ground, args, &mut session.output);
        if !matches!(ran, Ran::Paused) {
            self.server.scripts.busy = false;
            self.server.scripts.killed = false;
            session.parked = None;
            self.conclude(id, &mut session, ran, start, end);
        }
        if !gated && session.is_gated() {
            self.gated.push(id);
        }
        self.sessions.insert(id, session);
        if self.paused.client().is_none() {
            for (lane, report) in std::mem::take(&mut self.stashed) {
                self.take_report(lane, report);
            }
            for id in std::mem::take(&mut self.leaving) {
                self.disconnect(id);
            }
            if self.sessions.get(&id).is_some_and(|session| session.parked.is_none()) {
                self.run(id);
            }
        }
    }

    /// Notes what a session waits for, and asks for it.
    fn park(&mut self, id: ClientId, session: &mut Session, need: Need) {
        let waiting = &mut self.waiting;
        match need {
            Need::Loads => self.park_for_loads(id, session),
            Need::Room => waiting.room.push_back(id),
            Need::Unpaused => waiting.unpaused.push(id),
            Need::Moved(seq) => waiting.moved.push((seq, id)),
            Need::Applied(seq) => waiting.applied.push((seq, id)),
            Need::Synced(seq) => waiting.synced.push((seq, id)),
            Need::BackupStart(_) if waiting.backup_begins() => {
                let text = "ERR another backup is just beginning: wait until it has ended";
                session.grant = Some(Grant::Failed(Error::fixed(text)));
                self.runnable.push_back(id);
            }
            Need::BackupStart(name) => {
                let issued = self.keys.backlog.issued();
                waiting.backup_start.push((issued, name, id));
                self.server.backing_up = true;
            }
            Need::NoBackup => waiting.no_backup.push(id),
            Need::BackupStop => {
                waiting.backup_stop.push(id);
                let name = self.server.backup.as_ref().map(|backup| backup.id.clone());
                self.post(Job::EndBackup(name.unwrap_or_default()));
            }
            Need::Names { db, pattern } => {
                self.pipeline.listings.push_back(Listing::Names(id, db, pattern));
            }
            Need::Count { db } => {
                if !waiting.counts.iter().any(|(of, _)| *of == db) {
                    self.pipeline.listings.push_back(Listing::Count(db));
                }
                waiting.counts.push((db, id));
            }
            Need::Elements { db, ref key, .. }
            | Need::Ranks { db, ref key, .. }
            | Need::Range { db, ref key, .. }
            | Need::ElementCount { db, ref key, .. }
            | Need::ElementStep { db, ref key, .. }
            | Need::ElementSample { db, ref key, .. } => {
                // What is answered is noted there, or counts for nothing.
                self.keys.pin(id, db, key);
                self.ask(id, need);
            }
            Need::Step { db, position, count } => self.post(Job::Step(id, db, position, count)),
            Need::Sample { db, seed } => self.post(Job::Sample(id, db, seed)),
        }
    }

    /// Has a question about a collection answered: at once, or when the writer has no job.
    fn ask(&mut self, id: ClientId, need: Need) {
        match need {
            Need::ElementStep { db, key, kind, position, count } => {
                let ask = Ask::Step(position, count);
                self.post(Job::Ask(id, Question { db, key, kind, ask }));
            }
            Need::ElementSample { db, key, kind, seed } => {
                let ask = Ask::Sample(seed);
                self.post(Job::Ask(id, Question { db, key, kind, ask }));
            }
            need => self.pipeline.listings.push_back(Listing::Elements(id, need)),
        }
    }

    fn park_for_loads(&mut self, id: ClientId, session: &mut Session) {
        let parked = session.parked.get_or_insert_default();
        for miss in self.keys.take_misses() {
            if self.keys.begin_load(&miss) {
                self.jobs.push_back(Job::Load(miss.clone()));
            }
            self.loading.entry(miss).or_default().push(id);
            parked.loads += 1;
        }
    }

    /// What a parked command waited for is there: it runs again in this tick.
    fn grant(&mut self, id: ClientId, grant: Grant) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.grant = Some(grant);
            self.runnable.push_back(id);
        }
    }

    /// Runs the parked commands that can go on.
    pub fn run_granted(&mut self) {
        if self.server.pause_now().is_none() {
            self.runnable.extend(self.waiting.unpaused.drain(..));
        }
        while self.paused.client().is_none()
            && let Some(id) = self.runnable.pop_front()
        {
            let Some(session) = self.sessions.get_mut(&id) else { continue };
            let Some(parked) = session.parked.take() else { continue };
            if let Some(error) = parked.failed {
                self.fail_parked(id, &error);
            }
            self.run(id);
        }
    }

    /// Answers a parked command with an error instead of running it again.
    fn fail_parked(&mut self, id: ClientId, error: &Error) {
        let Some(mut session) = self.sessions.remove(&id) else { return };
        session.grant = None; // It was for this command.
        self.keys.unpin(id);
        let client = self.clients.get(id);
        let protocol = client.map(|client| client.protocol).unwrap_or_default();
        if client.is_some_and(|client| client.queue.is_some()) {
            self.clients.end_transaction(id); // It was EXEC: what is queued is never parked.
        }
        let start = session.output.len();
        crate::resp::Reply::new(&mut session.output, protocol).error_bytes(&error.0);
        self.server.count_error(error);
        let end = session.request_len();
        session.consume(end);
        self.mute(id, &mut session, start);
        self.sessions.insert(id, session);
    }

    /// Disconnects a client, now or once it has its replies.
    pub fn close(&mut self, id: ClientId, how: Closing) {
        self.clients.close(id, how);
    }

    /// Clients that are to be disconnected at once, since the last call.
    pub fn take_over(&mut self) -> Vec<ClientId> {
        let (over, later) =
            self.clients.take_doomed().into_iter().partition(|id| self.is_over(*id));
        self.ready.extend::<Vec<_>>(later);
        over
    }

    /// Clients that have something to send or are to be disconnected, since the last call.
    pub fn take_ready(&mut self) -> Vec<ClientId> {
        self.ready.append(&mut self.clients.take_doomed());
        std::mem::take(&mut self.ready)
    }

    /// Whether some client is to be served in the next turn.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Whether a client is to be disconnected now.
    pub fn is_over(&self, id: ClientId) -> bool {
        let (Some(client), Some(session)) = (self.clients.get(id), self.sessions.get(&id)) else {
            return true;
        };
        match client.closing {
            None => false,
            Some(Closing::AtOnce) => true,
            Some(Closing::AfterReplies) => session.unsent() == 0,
        }
    }

    /// Replies that may be sent to a client now.
    pub fn output(&self, id: ClientId) -> &[u8] {
        self.sessions.get(&id).map_or(&[], |session| session.sendable())
    }

    /// So many bytes of them were sent.
    pub fn sent(&mut self, id: ClientId, bytes: usize) {
        self.server.stats.bytes_out += bytes as u64;
        self.server.stats.writes += 1;
        if let Some(session) = self.sessions.get_mut(&id) {
            session.sent(bytes);
            if session.held {
                self.ready.push(id);
            }
        }
    }

    /// A client has had its turn and is to be served again in the next one.
    pub fn call_again(&mut self, id: ClientId) {
        self.ready.push(id);
    }

    /// Whether a client waits for something, or has not read its replies: it is not read from.
    pub fn is_waiting(&self, id: ClientId) -> bool {
        self.sessions.get(&id).is_some_and(|session| session.parked.is_some() || session.held)
    }

    /// Why the server has to stop, where it has to.
    pub fn fatal(&self) -> Option<&str> {
        self.fatal.as_deref()
    }

    /// The next job for a lane.
    pub fn next_job(&mut self) -> Option<Job> {
        let job = self.jobs.pop_front()?;
        *self.busy.entry(job.lane()).or_default() += 1;
        Some(job)
    }

    fn post(&mut self, job: Job) {
        self.jobs.push_back(job);
    }

    fn fsync(&self) -> Fsync {
        self.server.config.fsync
    }
}

/// Which argument of a request with this name is its first key, as a rule.
fn key_position(name: &[u8]) -> usize {
    match name.get(..4) {
        Some(head) if head.eq_ignore_ascii_case(b"eval") => 3,
        _ => 1,
    }
}

impl Waiting {
    fn forget(&mut self, id: ClientId) {
        self.room.retain(|waiter| *waiter != id);
        self.unpaused.retain(|waiter| *waiter != id);
        self.moved.retain(|(_, waiter)| *waiter != id);
        self.applied.retain(|(_, waiter)| *waiter != id);
        self.synced.retain(|(_, waiter)| *waiter != id);
        self.backup_start.retain(|(_, _, waiter)| *waiter != id);
        self.backup_began.retain(|waiter| *waiter != id);
        self.backup_stop.retain(|waiter| *waiter != id);
        self.no_backup.retain(|waiter| *waiter != id);
    }

    /// Whether a backup is about to begin: there is one at a time.
    fn backup_begins(&self) -> bool {
        self.backup_asked || !self.backup_start.is_empty()
    }

    /// Whether somebody waits for the tree: then the writer does not yield.
    fn presses(&self) -> bool {
        !self.moved.is_empty()
            || !self.applied.is_empty()
            || !self.synced.is_empty()
            || !self.backup_start.is_empty()
            || !self.room.is_empty()
    }
}
