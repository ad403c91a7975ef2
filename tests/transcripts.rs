//! Transcripts: requests, their replies byte for byte, and the files that come of them.
//!
//! Each `transcripts/*.txt` has cases, which begin with a `#` line and an empty database:
//!
//! ```text
//! # What the case shows.
//! > HSET user:1 name ada
//! < :1
//! | 0/user:1/fields/name  "ada"
//! > HDEL user:1 name
//! < :1
//! | 0/user:1  (nothing)
//! ```
//!
//! A request that begins with `2>` or `3>` comes from another client.
//!
//! They run on the simulated disk, on a real directory, and without the `|` lines against
//! redis-server, where there is one. After each request on the simulated disk, loading what the
//! ops made gives the value in memory. A case whose first line ends in `(not in Redis)`, and those
//! of `tree.txt` and `server.txt`, speak of what Redis does not have or what 7.0 says differently.

use crate::support::machine::{Machine, Setup};
use crate::support::words::{self, show, split};
use dredis::disk::real::RealDisk;
use dredis::disk::sim::{SimDisk, SimSettings};
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Files of transcripts that Redis is not asked about.
const OURS: [&str; 2] = ["tree.txt", "server.txt"];
/// So much of a reply is shown where it differs.
const SHOWN_BYTES: usize = 400;

/// What a file has to hold; `None` where nothing is to be at that path.
type Files = Vec<(String, Option<Vec<u8>>)>;

/// A request with what it replies, and the files after it.
struct Step {
    line: usize,
    client: usize,
    request: Vec<Vec<u8>>,
    reply: Vec<u8>,
    files: Files,
}

struct Case {
    file: String,
    title: String,
    steps: Vec<Step>,
}

fn cases() -> Vec<Case> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let pattern = dir.join("*.txt");
    let mut cases = Vec::new();
    for path in glob::glob(pattern.to_str().expect("a path in UTF-8")).expect("a pattern") {
        let path = path.expect("a readable directory");
        let file = path.file_name().expect("a file").to_string_lossy().into_owned();
        parse(&file, &fs::read_to_string(&path).expect("a text"), &mut cases);
    }
    assert!(!cases.is_empty(), "no transcripts in {}", dir.display());
    cases
}

fn parse(file: &str, text: &str, cases: &mut Vec<Case>) {
    for (index, line) in text.lines().enumerate() {
        let (client, line) = match line.as_bytes() {
            [digit @ b'2'..=b'9', b'>', ..] => (usize::from(digit - b'1'), &line[1..]),
            _ => (0, line),
        };
        let content = line.get(2..).unwrap_or("");
        match line.as_bytes().first() {
            Some(b'#') => {
                cases.retain(|case| !case.steps.is_empty());
                let title = content.to_string();
                cases.push(Case { file: file.to_string(), title, steps: Vec::new() });
                continue;
            }
            None => continue,
            _ => {}
        }
        let case = cases.last_mut().expect("a case begins with #");
        if line.starts_with('>') {
            let (reply, files) = (Vec::new(), Vec::new());
            let request = split(content);
            case.steps.push(Step { line: index + 1, client, request, reply, files });
            continue;
        }
        let step = case.steps.last_mut().expect("a request comes before its reply");
        match line.as_bytes()[0] {
            b'<' => {
                step.reply.extend_from_slice(content.as_bytes());
                step.reply.extend_from_slice(b"\r\n");
            }
            b'|' => {
                let (path, file) = content.split_once("  ").expect("two blanks behind a path");
                let wanted = (file != "(nothing)").then(|| split(file).remove(0));
                step.files.push((path.to_string(), wanted));
            }
            _ => panic!("{file}:{}: a line begins with #, >, < or |", index + 1),
        }
    }
}

/// What went wrong in a case, and where.
fn differs(case: &Case, step: &Step, what: &str, wanted: &[u8], got: &[u8]) -> String {
    let Case { file, title, .. } = case;
    let part = |bytes: &[u8]| show(&bytes[..bytes.len().min(SHOWN_BYTES)]);
    let (line, wanted, got) = (step.line, part(wanted), part(got));
    format!("{file}:{line} ({title}): {what}\n  wanted {wanted}\n  got    {got}")
}

fn check_reply(case: &Case, step: &Step, got: &[u8]) -> Result<(), String> {
    match got == step.reply {
        true => Ok(()),
        false => Err(differs(case, step, "the reply", &step.reply, got)),
    }
}

fn check_files(case: &Case, step: &Step, read: impl Fn(&str) -> Option<Vec<u8>>) -> Option<String> {
    let name = |content: &Option<Vec<u8>>| content.clone().unwrap_or(b"(nothing)".to_vec());
    step.files.iter().find_map(|(path, wanted)| {
        let got = read(path);
        (got != *wanted).then(|| differs(case, step, path, &name(wanted), &name(&got)))
    })
}

fn setup() -> Setup {
    let now_ms = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now_ms = now_ms.expect("a clock after 1970").as_millis() as u64;
    Setup { segment_bytes: 64 << 10, backlog_bytes: 4 << 20, now_ms, ..Setup::default() }
}

fn run_case(
    case: &Case,
    machine: &mut Machine,
    read: impl Fn(&str) -> Option<Vec<u8>>,
) -> Result<(), String> {
    let mut clients = Vec::new();
    for step in &case.steps {
        while clients.len() <= step.client {
            clients.push(machine.connect());
        }
        let reply = machine.call(clients[step.client], &step.request);
        check_reply(case, step, &reply)?;
        if let Err(error) = machine.engine.keys.check() {
            return Err(format!("{}:{} ({}): {error}", case.file, step.line, case.title));
        }
        if !step.files.is_empty() {
            assert!(machine.settle(), "the tree comes to rest");
            check_files(case, step, &read).map_or(Ok(()), Err)?;
        }
    }
    Ok(())
}

fn report(errors: &[String], what: &str, count: usize) {
    assert!(errors.is_empty(), "{} of {count} cases:\n{}", errors.len(), errors.join("\n"));
    println!("{count} cases {what}");
}

#[test]
fn transcripts_on_the_simulated_disk() {
    let cases = cases();
    let mut errors = Vec::new();
    for (seed, case) in cases.iter().enumerate() {
        // Every second case finds the disk's caches cold, and a cache that holds next to nothing.
        let cold = seed % 2 == 1;
        let disk = SimDisk::new(SimSettings::default());
        disk.cold(seed as u64, if cold { 50 } else { 0 });
        let cache_bytes = if cold { 4096 } else { 1 << 20 };
        let setup = Setup { seed: seed as u64, cache_bytes, ..setup() };
        let mut machine = Machine::start(Arc::new(disk.clone()), &setup).expect("an empty disk");
        let read = |path: &str| {
            let files = disk.dump("");
            files.get(path).or_else(|| files.get(&format!("{path}/"))).cloned()
        };
        errors.extend(run_case(case, &mut machine, read).err());
    }
    report(&errors, "on the simulated disk", cases.len());
}

#[test]
fn transcripts_on_a_real_directory() {
    let cases = cases();
    let mut errors = Vec::new();
    for (seed, case) in cases.iter().enumerate() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let disk = Arc::new(RealDisk::open(root.path()).expect("a directory"));
        let setup = Setup { seed: seed as u64, ..setup() };
        let mut machine = Machine::start(disk, &setup).expect("an empty directory");
        let read = |path: &str| {
            let path: PathBuf = root.path().join(path);
            if path.is_dir() { Some(Vec::new()) } else { fs::read(path).ok() }
        };
        errors.extend(run_case(case, &mut machine, read).err());
    }
    report(&errors, "on a real directory", cases.len());
}

/// A redis-server of the machine's own.
struct Redis {
    child: Child,
    port: u16,
    _dir: tempfile::TempDir,
}

impl Redis {
    /// `None` where none is installed.
    fn start() -> Option<Redis> {
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("a bound socket").port();
        drop(free);
        let dir = tempfile::tempdir().expect("a temporary directory");
        let port_text = port.to_string();
        let child = Command::new("redis-server")
            .args(["--port", &port_text, "--save", "", "--appendonly", "no"])
            .current_dir(dir.path())
            .stdout(Stdio::null())
            .spawn()
            .ok()?;
        Some(Redis { child, port, _dir: dir })
    }

    fn connect(&self) -> TcpStream {
        let start = Instant::now();
        loop {
            if let Ok(stream) = TcpStream::connect(("127.0.0.1", self.port)) {
                stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
                return stream;
            }
            assert!(start.elapsed() < Duration::from_secs(10), "redis-server does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ask(stream: &mut TcpStream, request: &[Vec<u8>]) -> Vec<u8> {
    stream.write_all(&words::request(request)).expect("a server that listens");
    let (mut reply, mut buffer) = (Vec::new(), [0; 64 << 10]);
    while words::reply_len(&reply) != Some(reply.len()) {
        match stream.read(&mut buffer) {
            Ok(count) if count > 0 => reply.extend_from_slice(&buffer[..count]),
            _ => break,
        }
    }
    reply
}

#[test]
fn transcripts_on_redis() {
    let cases = cases();
    let Some(redis) = Redis::start() else {
        return println!("{} cases skipped: redis-server is not installed", cases.len());
    };
    let mut errors = Vec::new();
    let mut skipped: BTreeMap<&str, usize> = BTreeMap::new();
    let mut count = 0;
    for case in &cases {
        if OURS.contains(&case.file.as_str()) || case.title.ends_with("(not in Redis)") {
            *skipped.entry(&case.file).or_default() += 1;
            continue;
        }
        let mut stream = redis.connect();
        assert_eq!(ask(&mut stream, &split("FLUSHALL")), b"+OK\r\n");
        count += 1;
        let mut streams = vec![stream];
        let differs = case.steps.iter().find_map(|step| {
            while streams.len() <= step.client {
                streams.push(redis.connect());
            }
            let reply = ask(&mut streams[step.client], &step.request);
            check_reply(case, step, &reply).err()
        });
        errors.extend(differs);
    }
    println!("not asked of Redis: {skipped:?}");
    report(&errors, "on redis-server", count);
}
