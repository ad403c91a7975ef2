//! The event loop: one thread with all sockets, helpers that do what blocks.
//!
//! One turn: wait for sockets or reports, run what clients sent, take reports, hand jobs to the
//! lanes, send what may leave. The order within a turn is in [`Server::turn`]. The loop knows
//! sockets and threads; commands, keys and the pipeline are the engine's.

mod connection;
mod listen;
mod signals;
mod threads;

use crate::base::clock::{Clock, RealClock};
use crate::base::sys;
use crate::command::server::Shutdown;
use crate::config::Config;
use crate::disk::real::{LockGuard, RealDisk, lock};
use crate::disk::{Disk, is_out_of_descriptors};
use crate::engine::{self, Engine, Opened};
use crate::keyspace::moves::MOVED_MIN;
use connection::{Connection, State};
use hashbrown::HashMap;
use listen::{Listener, Stream};
use mio::event::Event;
use mio::{Events, Interest, Poll, Token};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use threads::{COLLECT_EVERY, Threads};

/// Wakes the loop for reports and signals.
const WAKER: Token = Token(0);
/// The first listening socket; clients come behind [`LISTENERS_MAX`].
const LISTENER: usize = 1;
const LISTENERS_MAX: usize = 8;
/// Events that one turn takes.
const EVENTS_MAX: usize = 1024;
/// Connections that one turn accepts.
const ACCEPTS_MAX: usize = 256;
/// Where descriptors have run out, the next try is so much later.
const ACCEPT_PAUSE_US: u64 = 1_000_000;
/// A stop that takes longer leaves the rest to the journal.
const STOP_MS_MAX: u64 = 60_000;
/// Descriptors beside those of clients: files of the tree, the journal, the log.
const DESCRIPTORS_RESERVED: u64 = 128;

/// Exit code of a clean stop.
pub const EXIT_CLEAN: u8 = 0;
/// Exit code where the server could not start or had to stop because of its disk.
pub const EXIT_FAILED: u8 = 1;
/// Exit code of a stop that passed its deadline: the journal belongs to the data.
pub const EXIT_UNDRAINED: u8 = 3;

/// Serves until a signal or SHUTDOWN; answers the exit code.
pub fn serve(config: Config) -> u8 {
    match start(config) {
        Ok(mut server) => server.run(),
        Err(text) => {
            log::error!("{text}");
            EXIT_FAILED
        }
    }
}

struct Server {
    engine: Engine,
    threads: Threads,
    poll: Poll,
    listeners: Vec<Listener>,
    connections: HashMap<Token, Connection>,
    tokens: HashMap<u64, Token>,
    next_token: usize,
    signals: signals::Signals,
    clock: RealClock,
    /// Somebody may wait to be accepted.
    accepting: bool,
    /// Nobody is accepted before: there were no descriptors.
    accept_after_us: u64,
    stop_by_ms: Option<u64>,
    /// When this thread last gave back memory.
    collected: Instant,
    _lock: LockGuard,
    _temporary: Option<tempfile::TempDir>,
}

fn start(mut config: Config) -> Result<Server, String> {
    config.maxclients = raise_descriptors(config.maxclients);
    let (root, temporary) = make_root(&config)?;
    let lock = lock(&root).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => {
            format!(
                "another server is using {}: stop it, or choose another ROOT_DIR",
                root.display()
            )
        }
        io::ErrorKind::ReadOnlyFilesystem => read_only(&root),
        _ => format!("cannot lock {}: {error}", root.display()),
    })?;
    let disk = RealDisk::open(&root).map_err(|e| format!("cannot open {}: {e}", root.display()))?;
    disk.probe()?;
    let poll = Poll::new().map_err(|error| format!("cannot wait for sockets: {error}"))?;
    let listeners = listen::open(&config, poll.registry(), LISTENER)?;
    let clock = RealClock::new();
    let disk: Arc<dyn Disk> = Arc::new(disk);
    let settings = engine::Settings {
        config,
        root: root.display().to_string(),
        journal: None,
        now_ms: now_ms(&clock),
        seed: seed(),
        moved_min: MOVED_MIN,
    };
    let opened = engine::open(disk, settings).map_err(|error| error.to_string())?;
    log_start(&opened, &listeners);
    let waker = mio::Waker::new(poll.registry(), WAKER).map(Arc::new);
    let waker = waker.map_err(|error| format!("cannot make a waker: {error}"))?;
    let threads = Threads::start(opened.workers, waker.clone())
        .map_err(|error| format!("cannot start a thread: {error}"))?;
    let signals = signals::Signals::install(waker)
        .map_err(|error| format!("cannot handle signals: {error}"))?;
    let mut engine = opened.engine;
    engine.server.scripts.stopping = signals.counter();
    Ok(Server {
        engine,
        threads,
        poll,
        listeners,
        connections: HashMap::new(),
        tokens: HashMap::new(),
        next_token: LISTENER + LISTENERS_MAX,
        signals,
        clock,
        accepting: false,
        accept_after_us: 0,
        stop_by_ms: None,
        collected: Instant::now(),
        _lock: lock,
        _temporary: temporary,
    })
}

fn make_root(config: &Config) -> Result<(PathBuf, Option<tempfile::TempDir>), String> {
    if let Some(root) = &config.root_dir {
        make_dir(root).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                format!("ROOT_DIR {} is not a directory: name one", root.display())
            }
            io::ErrorKind::ReadOnlyFilesystem => read_only(root),
            _ => format!("cannot make {}: {error}", root.display()),
        })?;
        let absolute = root.canonicalize();
        let absolute =
            absolute.map_err(|error| format!("cannot open {}: {error}", root.display()))?;
        return Ok((absolute, None));
    }
    let temporary = tempfile::Builder::new().prefix("dredis-").tempdir();
    let temporary = temporary.map_err(|error| format!("cannot make a directory: {error}"))?;
    let path = temporary.path().to_path_buf();
    log::warn!("ROOT_DIR is not set: {} will not be kept after the stop", path.display());
    Ok((path, Some(temporary)))
}

fn read_only(root: &Path) -> String {
    format!("ROOT_DIR {} is on a read-only file system: mount it writable", root.display())
}

/// Makes a directory of mode 0700 where it is missing, and syncs its parent.
fn make_dir(root: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    if root.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(root)?;
    let parent = root.canonicalize()?.parent().map(Path::to_path_buf);
    match parent {
        Some(parent) => std::fs::File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// Raises the limit of open files to what so many clients need. Answers how many clients there is
/// room for: the tree and the journal need descriptors, too.
fn raise_descriptors(maxclients: u64) -> u64 {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    let before = limit.current;
    let wanted = maxclients + DESCRIPTORS_RESERVED;
    if before.is_none_or(|current| current >= wanted) {
        return maxclients;
    }
    limit.current = Some(limit.maximum.map_or(wanted, |maximum| maximum.min(wanted)));
    let raised = if setrlimit(Resource::Nofile, limit).is_ok() { limit.current } else { before };
    let room = raised.unwrap_or(wanted).saturating_sub(DESCRIPTORS_RESERVED).max(1);
    if room < maxclients {
        log::warn!(
            "the limit of open files is below {wanted}, so {room} clients and not {maxclients} \
             can connect: raise it with ulimit -n"
        );
    }
    room.min(maxclients)
}

fn log_start(opened: &Opened, listeners: &[Listener]) {
    let server = &opened.engine.server;
    log::info!("dredis {} serves {}", env!("CARGO_PKG_VERSION"), server.root);
    if opened.replayed > 0 {
        let (records, bytes) = (opened.replayed, opened.replayed_bytes);
        log::info!("replayed {records} records ({bytes} bytes) of the journal");
    } else {
        log::info!("nothing to replay from the journal");
    }
    for listener in listeners {
        log::info!("listening on {}; connect with: {}", listener.name, listener.connect_with);
    }
}

fn seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

fn now_ms(clock: &RealClock) -> u64 {
    u64::try_from(clock.now_ms()).unwrap_or(0)
}

impl Server {
    fn run(&mut self) -> u8 {
        let mut events = Events::with_capacity(EVENTS_MAX);
        self.accept_all();
        loop {
            match self.turn(&mut events) {
                Ok(None) => {}
                Ok(Some(code)) => return code,
                Err(error) => {
                    log::error!("the event loop stopped: {error}");
                    return EXIT_FAILED;
                }
            }
        }
    }

    /// One turn of the loop. Answers the exit code when the server has stopped.
    fn turn(&mut self, events: &mut Events) -> io::Result<Option<u8>> {
        let accepts = self.accepting && self.clock.monotonic_us() >= self.accept_after_us;
        let at_once = accepts || self.engine.wants_commit();
        let wait_us = if at_once { 0 } else { self.engine.sleep_us() };
        match self.poll.poll(events, Some(Duration::from_micros(wait_us))) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => events.clear(),
            result => result?,
        }
        self.engine.tick(now_ms(&self.clock), self.clock.monotonic_us());
        self.engine.server.now_us = u64::try_from(self.clock.now_us()).unwrap_or(0);
        let mut quiet = true;
        for event in events.iter() {
            match event.token() {
                WAKER => {}
                Token(n) if n < LISTENER + LISTENERS_MAX => self.accepting = true,
                token => {
                    quiet = false;
                    self.mark(token, event);
                    self.keep_journal_busy();
                }
            }
        }
        if self.accepting {
            self.accept_all();
        }
        while let Some((lane, report)) = self.threads.next_report() {
            self.engine.take_report(lane, report);
        }
        self.engine.run_granted();
        self.engine.go_on();
        if self.collected.elapsed() >= COLLECT_EVERY {
            sys::collect_memory();
            self.collected = Instant::now();
        }
        self.engine.commit(quiet);
        self.hand_out_jobs();
        self.send_replies();
        self.keep_journal_busy();
        if let Some(text) = self.engine.fatal() {
            log::error!("{text}; no write is acknowledged any more, the server stops");
            return Ok(Some(EXIT_FAILED));
        }
        Ok(self.stop_if_asked())
    }

    /// Between two clients of a turn: where serving the writers of a group takes much longer than a
    /// sync, what was served first is synced while the others are served.
    fn keep_journal_busy(&mut self) {
        if !self.engine.outlasts_sync_at(self.clock.monotonic_us()) {
            return;
        }
        while let Some((lane, report)) = self.threads.next_report() {
            self.engine.take_report(lane, report);
        }
        self.engine.commit(false);
        self.hand_out_jobs();
        self.send_replies();
    }

    fn hand_out_jobs(&mut self) {
        while let Some(job) = self.engine.next_job() {
            self.threads.post(job);
        }
    }

    /// A client's socket has become readable or writable.
    fn mark(&mut self, token: Token, event: &Event) {
        let Some(connection) = self.connections.get_mut(&token) else { return };
        connection.readable |= event.is_readable();
        connection.writable |= event.is_writable();
        connection.ended |= event.is_read_closed();
        self.serve_client(token);
    }

    /// Reads from a client, runs its commands and sends it what may leave.
    fn serve_client(&mut self, token: Token) {
        let Some(connection) = self.connections.get_mut(&token) else { return };
        let id = connection.id;
        let stopping = self.engine.shutdown().is_some();
        let read = if stopping { State::Open } else { connection.read(&mut self.engine) };
        // Whoever was killed is cut off before the reply says so.
        for doomed in self.engine.take_over() {
            if doomed != id
                && let Some(token) = self.tokens.get(&doomed).copied()
            {
                self.drop_client(token);
            }
        }
        let Some(connection) = self.connections.get_mut(&token) else { return };
        if read == State::Closed || self.engine.is_over(id) {
            return self.drop_client(token);
        }
        if connection.write(&mut self.engine) == State::Closed || self.engine.is_over(id) {
            self.drop_client(token);
        }
    }

    fn send_replies(&mut self) {
        for id in self.engine.take_ready() {
            if let Some(token) = self.tokens.get(&id).copied() {
                self.serve_client(token);
            }
        }
    }

    fn drop_client(&mut self, token: Token) {
        if let Some(mut connection) = self.connections.remove(&token) {
            self.tokens.remove(&connection.id);
            self.engine.disconnect(connection.id);
            // The socket is closed by being dropped; forgetting it in the poll cannot matter then.
            let _ = self.poll.registry().deregister(&mut connection.stream);
        }
    }

    /// Accepts who waits, a bounded number a turn. The sockets tell of new connections only once,
    /// so what is left is asked for again in the next turn.
    fn accept_all(&mut self) {
        self.accepting = false;
        let now_us = self.clock.monotonic_us();
        if now_us < self.accept_after_us {
            self.accepting = true;
            return;
        }
        for index in 0..self.listeners.len() {
            let mut accepted = 0;
            while accepted < ACCEPTS_MAX {
                match self.listeners[index].accept() {
                    Ok((stream, peer)) => self.welcome(stream, peer),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => {
                        log::warn!("a connection was not accepted: {error}");
                        if is_out_of_descriptors(&error) {
                            self.accepting = true;
                            self.accept_after_us = now_us + ACCEPT_PAUSE_US;
                            return;
                        }
                    }
                }
                accepted += 1;
            }
            self.accepting |= accepted == ACCEPTS_MAX;
        }
    }

    fn welcome(&mut self, mut stream: Stream, peer: engine::Peer) {
        let config = &self.engine.server.config;
        if config.protected_mode && config.password.is_empty() && !stream.is_local() {
            stream.refuse(
                "-DENIED dredis is in protected mode: it has no password, so it serves only \
                 clients on its own machine. Set DREDIS_PASSWORD, or DREDIS_PROTECTED_MODE=false \
                 where the network is trusted.\r\n",
            );
            return;
        }
        stream.tune(config.tcp_keepalive);
        let Some(id) = self.engine.connect(peer) else {
            return stream.refuse("-ERR max number of clients reached\r\n");
        };
        let token = Token(self.next_token);
        self.next_token += 1;
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.poll.registry().register(&mut stream, token, interest) {
            log::warn!("a connection could not be watched: {error}");
            return self.engine.disconnect(id);
        }
        self.connections.insert(token, Connection::new(id, stream));
        self.tokens.insert(id, token);
    }

    /// Brings a stop that was asked for to its end; answers the exit code then.
    fn stop_if_asked(&mut self) -> Option<u8> {
        match self.signals.count() {
            0 => {}
            1 => {
                self.engine.server.shutdown.get_or_insert(Shutdown::Save);
            }
            _ => {
                log::warn!("stopped at the second signal: the journal belongs to the data");
                return Some(EXIT_UNDRAINED);
            }
        }
        let shutdown = self.engine.shutdown()?;
        let now_ms = now_ms(&self.clock);
        let stop_by_ms = *self.stop_by_ms.get_or_insert_with(|| {
            log::info!("stopping: no more commands are taken");
            self.listeners.clear();
            now_ms + STOP_MS_MAX
        });
        self.engine.commit(true);
        self.hand_out_jobs();
        match shutdown {
            Shutdown::NoSave if self.engine.is_durable() => Some(EXIT_CLEAN),
            Shutdown::Save if self.engine.is_drained() => {
                self.engine.record_sizes();
                self.hand_out_jobs();
                self.threads.finish();
                log::info!("stopped: the tree has everything");
                Some(EXIT_CLEAN)
            }
            _ if now_ms > stop_by_ms => {
                log::error!(
                    "stopped at the deadline before the tree had everything: the journal belongs \
                     to the data, copy it with the tree"
                );
                Some(EXIT_UNDRAINED)
            }
            _ => None,
        }
    }
}
