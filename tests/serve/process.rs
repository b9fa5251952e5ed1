//! The program as a process: started on free ports, asked over HTTP, and ended whatever happens to the test.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

/// How long a condition is waited for: far more than any takes, because the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks again and again until there is an answer.
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "never came to be: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A running `syncgate serve`. Killed when it is dropped.
pub(crate) struct Syncgate {
    child: Child,
    logs: TempDir,
    addresses: BTreeMap<String, SocketAddr>,
}

/// The answer of a page.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// The program with these arguments, away from the environment's variables.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_syncgate"));
    command.args(arguments);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SYNCGATE_")) {
        command.env_remove(name);
    }
    command
}

/// Runs a command of the program to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    command(arguments).output().expect("the program starts")
}

impl Syncgate {
    /// Starts it on a folder and waits until its listeners are open.
    pub(crate) fn start(dir: &Path, arguments: &[&str]) -> Self {
        let logs = tempfile::tempdir().expect("a temporary folder");
        let log = File::create(logs.path().join("log")).expect("a writable folder");
        let child = command(&["serve", "--log-format", "json", "--xds-address", "127.0.0.1:0"])
            .args(["--health-address", "127.0.0.1:0", "--admin-address", "127.0.0.1:0", "--files"])
            .arg(dir)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the program starts");
        let mut this = Self { child, logs, addresses: BTreeMap::new() };
        eventually("the listeners are open", || {
            let ended = this.child.try_wait().expect("a child");
            assert_eq!(ended, None, "ended: {}", this.log_text());
            this.addresses = this.log().iter().filter_map(listening).collect();
            (this.addresses.len() == 3).then_some(())
        });
        this
    }

    /// Starts it and waits until it is ready.
    pub(crate) fn start_ready(dir: &Path, arguments: &[&str]) -> Self {
        let this = Self::start(dir, arguments);
        this.wait_ready();
        this
    }

    pub(crate) fn wait_ready(&self) {
        let mut last = String::new();
        eventually("ready", || {
            let page = self.health("/readyz");
            last = page.body;
            (page.status == 200).then_some(())
        });
    }

    /// `ads`, `health` or `admin`.
    pub(crate) fn address(&self, listener: &str) -> SocketAddr {
        self.addresses[listener]
    }

    /// A page of the health listener.
    pub(crate) fn health(&self, path: &str) -> Page {
        get(self.address("health"), path).expect("the health listener answers")
    }

    /// A page of the admin listener, as JSON.
    pub(crate) fn debug(&self, path: &str) -> Value {
        let page = get(self.address("admin"), path).expect("the admin listener answers");
        assert_eq!(page.status, 200, "{path}: {}", page.body);
        serde_json::from_str(&page.body).expect("JSON")
    }

    /// Asks it with a command of its own, such as `status`.
    pub(crate) fn ask(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let admin = self.address("admin").to_string();
        let output = run(&[arguments, &["--admin-address", &admin]].concat());
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).expect("UTF-8"))
    }

    /// Sends a signal, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(sent.expect("kill").success());
    }

    /// Its exit status, once it has ended.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let child = &mut self.child;
        eventually("the process has ended", || child.try_wait().expect("a child"))
    }

    /// Whole lines of its log.
    pub(crate) fn log(&self) -> Vec<Value> {
        let text = self.log_text();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let parse = |line| serde_json::from_str(line).map_err(|error| format!("{error}: {line}"));
        whole.lines().map(|line| parse(line).expect("JSON in each line")).collect()
    }

    fn log_text(&self) -> String {
        let path: PathBuf = self.logs.path().join("log");
        std::fs::read_to_string(path).expect("a log")
    }
}

impl Drop for Syncgate {
    fn drop(&mut self) {
        // Fails when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}", self.log_text());
        }
    }
}

fn listening(line: &Value) -> Option<(String, SocketAddr)> {
    (line["message"] == "listening").then_some(())?;
    Some((line["listener"].as_str()?.to_owned(), line["address"].as_str()?.parse().ok()?))
}

/// A page over HTTP/1.1; `None` when nobody answers.
fn get(address: SocketAddr, path: &str) -> Option<Page> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Page { status, body: body.to_owned() })
}
