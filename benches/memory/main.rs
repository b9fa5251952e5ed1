//! The budget "memory per pod, resident, peak too": answers of an API server decoded, let in and translated, as the product
//! does it, and what the process holds then. Beside it the same with endpoints read from EndpointSlices instead of pods, which
//! the product does not do: that is what deriving endpoints from pods costs or saves.
//!
//! Each point is a process of its own, so that nothing of another one is counted. `--case NAME --pods N --routes none|few|N` measures
//! one.
//! What the HTTP client and the watches hold is not in it; `benches/kubernetes.rs` measures the whole program.

#![expect(clippy::print_stdout, reason = "a benchmark's report is what it prints")]

#[path = "../support/answers.rs"]
mod answers;
mod routes;

use std::collections::HashMap;
use std::ops::Range;
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use routes::Routes;
use syncgate::app::pipeline::Pipeline;
use syncgate::ingest::{self, Door, Taken};
use syncgate::model::{Delta, Event, Kind, ObjectKey, ObjectRef};
use syncgate::watch::wire::{Encoding, Pool, Value, page};

/// The program's own allocator.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Resident bytes for each pod, Services included.
const BUDGET: f64 = 600.0;
/// Objects in a page of a list, as the product asks for them.
const PAGE: usize = 500;
const ROUNDS: usize = 3;
/// Pods of the world that warms a process up.
const FEW: usize = 300;
/// After this long the allocator has given back what is free.
const SETTLES: Duration = Duration::from_secs(2);

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |flag: &str| arguments.iter().position(|a| a == flag).and_then(|at| arguments.get(at + 1));
    let pods = value("--pods").and_then(|text| text.parse().ok());
    let routes = value("--routes").and_then(|text| Routes::find(text)).unwrap_or(Routes::Few);
    match (value("--case").and_then(|name| Case::find(name)), pods) {
        (Some(case), Some(pods)) => measure(case, pods, routes).print(),
        _ => report(),
    }
}

/// Where endpoints come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    Pods,
    Slices,
}

impl Case {
    fn name(self) -> &'static str {
        match self {
            Case::Pods => "pods",
            Case::Slices => "slices",
        }
    }

    fn find(name: &str) -> Option<Case> {
        [Case::Pods, Case::Slices].into_iter().find(|case| case.name() == name)
    }
}

/// One point. Bytes are those above an empty process.
#[derive(Debug, Clone, Copy, Default)]
struct Point {
    /// In the answers.
    read: u64,
    /// As the kernel counts it.
    resident: u64,
    /// The most that it ever counted.
    peak: u64,
    /// Nanoseconds from the first answer to the snapshots.
    time: u64,
}

impl Point {
    fn fields(&mut self) -> [(&'static str, &mut u64); 4] {
        let Self { read, resident, peak, time } = self;
        let names = ["read", "resident", "peak", "time"];
        let mut names = names.into_iter();
        [read, resident, peak, time].map(|field| (names.next().unwrap_or_default(), field))
    }

    fn print(mut self) {
        self.fields().into_iter().for_each(|(name, value)| println!("{name} {value}"));
    }

    fn of_child(case: Case, pods: usize, routes: Routes) -> Self {
        let program = std::env::current_exe().expect("this program");
        let (pods, routes) = (pods.to_string(), routes.to_string());
        let mut command = Command::new(program);
        let run = command.args(["--case", case.name(), "--pods", &pods, "--routes", &routes]).output();
        let run = run.expect("this program runs");
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        let mut point = Point::default();
        for line in String::from_utf8_lossy(&run.stdout).lines() {
            let (name, number) = line.split_once(' ').expect("a name and a number");
            for (field, value) in point.fields() {
                if field == name {
                    *value = number.parse().expect("a number");
                }
            }
        }
        point
    }
}

fn report() {
    let most = std::env::var("SYNCGATE_BENCH_PODS").ok().and_then(|text| text.parse().ok()).unwrap_or(100_000);
    println!(
        "memory for each pod, with its share of a Service of {} pods and of a route; budget: < {BUDGET} bytes",
        answers::PODS_OF_SERVICE
    );
    println!("bytes above an empty process; resident and peak: median (least to most) of {ROUNDS} processes");
    println!("{:<8} {:>7} | {:>6} {:>22} {:>22} | {:>9}", "from", "pods", "read", "resident", "peak", "ns a pod");
    for pods in [1_000, 10_000, 100_000].into_iter().filter(|pods| *pods <= most) {
        let [by_pods, by_slices] = [Case::Pods, Case::Slices].map(|case| row(case.name(), case, pods, Routes::Few));
        println!(
            "{:<8} {:>7} | {by_slices:.2} of what pods take resident",
            "slices",
            "",
            by_slices = by_slices / by_pods
        );
        row("no route", Case::Pods, pods, Routes::None);
    }
    whole(most);
}

/// One row of the table; resident bytes for each pod.
fn row(name: &str, case: Case, pods: usize, routes: Routes) -> f64 {
    let points: Vec<Point> = (0..ROUNDS).map(|_| Point::of_child(case, pods, routes)).collect();
    let each = |of: fn(&Point) -> u64| Spread::of(points.iter().map(|point| of(point) as f64 / pods as f64));
    let (resident, peak) = (each(|point| point.resident), each(|point| point.peak));
    println!(
        "{:<8} {pods:>7} | {:>6.0} {} {} | {:>9.0}",
        name,
        each(|point| point.read).median,
        resident.beside(BUDGET),
        peak.beside(BUDGET),
        each(|point| point.time).median,
    );
    resident.median
}

/// The state that peers were measured with.
fn whole(most: usize) {
    let (pods, routes) = (20_000, 2_000);
    if pods > most {
        return;
    }
    let points: Vec<Point> = (0..ROUNDS).map(|_| Point::of_child(Case::Pods, pods, Routes::Many(routes))).collect();
    let mib = |of: fn(&Point) -> u64| Spread::of(points.iter().map(|point| of(point) as f64 / f64::from(1 << 20)));
    let (resident, peak) = (mib(|point| point.resident), mib(|point| point.peak));
    println!(
        "{pods} pods, {routes} routes: MiB resident {}, peak {}; budget: < 100",
        resident.beside(100.0),
        peak.beside(100.0)
    );
}

/// Least, median and most of some figures.
#[derive(Debug, Clone, Copy)]
struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Spread {
    fn of(figures: impl Iterator<Item = f64>) -> Self {
        let mut figures: Vec<f64> = figures.collect();
        figures.sort_by(f64::total_cmp);
        Self { least: figures[0], median: figures[figures.len() / 2], most: figures[figures.len() - 1] }
    }

    fn beside(self, budget: f64) -> String {
        let mark = if self.median < budget { ' ' } else { '*' };
        format!("{:>22}", format!("{:.0}{mark} ({:.0} to {:.0})", self.median, self.least, self.most))
    }
}

/// What a process of this case holds when everything is translated.
fn measure(case: Case, pods: usize, routes: Routes) -> Point {
    // The program's own pages are read in, and are not counted for pods.
    drop(translated(case, FEW, Routes::Many(FEW / 10)));
    std::thread::sleep(SETTLES);
    // From here on the kernel counts the peak anew.
    std::fs::write("/proc/self/clear_refs", "5").expect("a kernel that tells");
    let empty = status("VmRSS:");
    let start = Instant::now();
    let world = translated(case, pods, routes);
    let time = start.elapsed() - world.source.making;
    let peak = status("VmHWM:");
    std::thread::sleep(SETTLES);
    Point {
        read: world.source.read,
        resident: status("VmRSS:").saturating_sub(empty),
        peak: peak.saturating_sub(empty),
        time: u64::try_from(time.as_nanos()).expect("a short time"),
    }
}

/// A world, and what read it.
struct Translated {
    source: Source,
    _pipeline: Pipeline,
}

fn translated(case: Case, pods: usize, routes: Routes) -> Translated {
    let (mut source, mut pipeline, mut door) = (Source::new(), Pipeline::new(), Door::new());
    let services = answers::services(pods);
    let mut let_in = |source: &Source| {
        let Taken::Arrivals(arrivals) = source.mailbox.take(Duration::ZERO) else { return };
        door.offer(arrivals, Instant::now());
        pipeline.apply(&door.ready(Instant::now()).events);
    };
    source.list(Kind::Service, services, &answers::service_list, &mut |_| {});
    source.say(routes::events(routes, services));
    // Pods leave while they are listed; all else when its list is whole.
    source.say(Kind::ALL.into_iter().filter(|kind| *kind != Kind::Pod).map(Event::Listed).collect());
    let_in(&source);
    match case {
        Case::Pods => source.list(Kind::Pod, pods, &answers::pods, &mut let_in),
        Case::Slices => {
            source.list(Kind::EndpointSlice, services, &|numbers| answers::slices(numbers, pods), &mut let_in);
        }
    }
    source.say(vec![Event::Listed(Kind::Pod)]);
    let_in(&source);
    assert!(pipeline.complete());
    Translated { source, _pipeline: pipeline }
}

/// Reads answers as the product's sources do.
struct Source {
    pool: Pool,
    /// The version of each object: what the next list is compared with.
    books: HashMap<Kind, HashMap<ObjectKey, u64>>,
    sender: ingest::Sender,
    mailbox: ingest::Mailbox,
    read: u64,
    /// Time that went into making answers.
    making: Duration,
}

impl Source {
    fn new() -> Self {
        let (sender, mailbox) = ingest::mailbox();
        Self { pool: Pool::new(), books: HashMap::new(), sender, mailbox, read: 0, making: Duration::ZERO }
    }

    fn say(&self, events: Vec<Event>) {
        self.sender.send(Delta::new(Instant::now(), events));
    }

    fn list(
        &mut self,
        kind: Kind,
        count: usize,
        answer: &dyn Fn(Range<usize>) -> Bytes,
        after_page: &mut dyn FnMut(&Source),
    ) {
        for from in (0..count).step_by(PAGE) {
            let making = Instant::now();
            let body = answer(from..(from + PAGE).min(count));
            self.making += making.elapsed();
            self.read += body.len() as u64;
            let page = page(kind, Encoding::Protobuf, &body, &self.pool).expect("a list");
            let mut events = Vec::with_capacity(page.items.len());
            let book = self.books.entry(kind).or_default();
            for item in page.items {
                let Value::Object(object, problems) = item.value else { continue };
                assert!(problems.is_empty(), "{problems:?}");
                book.insert(item.key.clone(), item.version);
                events.push(Event::Put(ObjectRef::new(kind, item.key), object));
            }
            self.say(events);
            after_page(self);
        }
    }
}

/// A line of what the kernel says of this process, in bytes.
fn status(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a kernel that tells");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the line");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib * 1024
}
