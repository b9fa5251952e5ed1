//! What a source does about a fault.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::warn;

use super::super::apis::Served;
use super::super::backoff::{Backoff, LASTED};
use super::super::board::State;
use super::super::cluster::Who;
use super::super::fault::{Action, Fault, Phase, classify};
use super::super::wire::Encoding;
use super::super::{jitter, rights};
use super::{LOOK_AGAIN, Next, Source, VERIFY};

/// A watch that lasted less than this and told nothing was no success: a balancer that closes at once must not mean a loop.
const TOO_SHORT: Duration = Duration::from_secs(1);
/// A source that rests longer than this without a watch has lost touch, and says so.
const MOMENT: Duration = Duration::from_secs(1);
/// Watches in a row that do not begin, until the list is read again: the revision may be what is wrong.
const FAILED_STARTS: u32 = 3;
/// The shortest and the longest pause that a server may ask for.
const SHORTEST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Refusals in a row until they are believed: an API server that has just started may not know its own rules.
const DENIALS: u32 = 3;
/// Between refusals that are not believed yet.
const DENIED: Duration = Duration::from_secs(1);
/// How long the absence of an API that was there has to last.
const BELIEVED_ABSENT: Duration = Duration::from_secs(30);
/// A list that was read because of a break stands for all breaks so long after it, outages aside.
const VERIFIED: Duration = Duration::from_secs(600);
/// Between looks for an API that is missing.
const LOOK_FOR_REQUIRED: Duration = Duration::from_millis(500);
/// How long an API that has just come may still be refused, and between looks so long.
const NEW_API: Duration = Duration::from_secs(5);
const BEGINS: Duration = Duration::from_millis(250);
const LOOK_FOR_OPTIONAL: Duration = Duration::from_secs(5);

impl Source {
    /// Does what the fault asks for and says what comes next.
    pub(super) async fn recover(&mut self, phase: Phase, fault: Fault) -> Next {
        let action = classify(phase, &fault);
        tracing::debug!(source = %self.target, ?phase, %fault, ?action, "fault");
        let lasted = self.synced.map_or(Duration::ZERO, |synced| synced.elapsed());
        self.backoff.synced_for(lasted);
        if lasted >= LASTED {
            self.comes_and_goes = None;
        }
        if self.casts_doubt(action, &fault) {
            self.broke = Some(Instant::now());
        }
        match action {
            Action::Resume => return self.resume(&fault).await,
            Action::PlainList => {
                if fault == Fault::Unended {
                    self.lost(&fault);
                }
                self.dialect.plain = true;
                return Next::List;
            }
            Action::Json if self.dialect.encoding != Encoding::Json => {
                self.dialect.encoding = Encoding::Json;
                return Next::List;
            }
            // It is JSON already, and nothing else is left to try.
            Action::Json => self.pause_for(&fault, None).await,
            Action::Relist => return self.relist(&fault).await,
            Action::Denied => return self.denied(phase).await,
            Action::Absent => return self.absent(&fault).await,
            Action::Retry if self.is_in_trouble(&fault).await => {
                self.lost(&fault);
                self.outage_over(&fault).await;
                self.spare().await;
            }
            Action::Retry => self.pause_for(&fault, None).await,
            Action::Pause => self.pause_for(&fault, fault.retry_after()).await,
            Action::Authenticate => self.authenticate(&fault).await,
            Action::Outage => {
                self.lost(&fault);
                self.outage_over(&fault).await;
                self.spare().await;
            }
        }
        self.again(phase).await
    }

    /// A server that comes and goes must not be asked in a loop. Its first return is used at once, however long the pauses of other
    /// errors were.
    async fn spare(&mut self) {
        match &mut self.comes_and_goes {
            Some(backoff) => sleep(backoff.pause()).await,
            none => *none = Some(Backoff::default()),
        }
    }

    /// Whether it is not this request that failed but the server that is in trouble, by its own word: then its return is waited for,
    /// and no back-off slept out. One failure alone is not worth the question.
    async fn is_in_trouble(&mut self, fault: &Fault) -> bool {
        if !fault.may_be_an_outage() {
            self.troubles = 0;
            return false;
        }
        self.troubles += 1;
        self.troubles > 1 && !self.cx.outage.is_well().await
    }

    /// The same again: the watch from where it was, if there is such a place.
    async fn again(&mut self, phase: Phase) -> Next {
        if self.revision.is_none() || matches!(phase, Phase::List | Phase::WatchList) {
            return Next::List;
        }
        self.failed_starts += u32::from(phase == Phase::Start);
        if self.failed_starts >= FAILED_STARTS {
            self.failed_starts = 0;
            return Next::List;
        }
        // A watch that ended in order is simply gone on with; and an answer that others had before it began would be older than what
        // it has seen.
        let Some(broke) = self.broke else { return Next::Watch };
        // A server that was away may be that of another cluster, or have come back from a backup.
        match self.cx.cluster.who(broke).await {
            Ok(Who::Other) => return Next::List,
            Ok(Who::Same | Who::Untold) => {}
            // The watch will fail too, and be handled.
            Err(_) => return Next::Watch,
        }
        match self.went_back(broke).await {
            Ok(true) => Next::List,
            Ok(false) => {
                self.broke = None;
                // Who rested while the server was away met no closed door, so any break may have hidden a restore. But where a balancer
                // cuts watches again and again, not each cut may cost a list.
                if self.verified.is_none_or(|verified| verified.elapsed() >= VERIFIED) {
                    self.verify_later();
                }
                Next::Watch
            }
            Err(_) => Next::Watch,
        }
    }

    /// Whether after this fault somebody else may answer, or the same with an older state.
    fn casts_doubt(&self, action: Action, fault: &Fault) -> bool {
        match action {
            // Of a server that merely is busy, or speaks otherwise.
            Action::Pause => matches!(fault, Fault::Answer(status) if status.code >= 500),
            Action::PlainList => *fault == Fault::Unended,
            Action::Json => false,
            Action::Resume => *fault != Fault::Ended,
            // Asked once, not with every look for what is missing.
            Action::Denied | Action::Authenticate => self.denials == 0,
            Action::Absent => self.missing.is_none(),
            Action::Relist | Action::Retry | Action::Outage => true,
        }
    }

    /// The watch ended or broke and lost nothing.
    async fn resume(&mut self, fault: &Fault) -> Next {
        let short = self.watching.take().is_none_or(|watching| watching.elapsed() < TOO_SHORT);
        if short || *fault != Fault::Ended {
            self.synced = None;
        }
        if short {
            let pause = self.backoff.pause();
            if pause > MOMENT {
                self.lost(fault);
            }
            self.rest_in_touch(pause, fault).await;
        }
        self.again(Phase::Stream).await
    }

    /// Waits as one that has not lost touch yet. Once others find the server away it has, and waits for its return as they do: it would call
    /// itself in sync meanwhile, and afterwards meet no closed door.
    async fn rest_in_touch(&mut self, pause: Duration, fault: &Fault) {
        tokio::select! {
            () = sleep(pause) => {}
            () = self.cx.outage.begun() => {
                self.lost(fault);
                self.outage_over(fault).await;
            }
        }
    }

    /// What is known cannot be gone on from.
    async fn relist(&mut self, fault: &Fault) -> Next {
        self.synced = None;
        if self.listed.is_some_and(|listed| listed.elapsed() < Duration::from_secs(5)) {
            self.lost(fault);
            let pause = self.backoff.pause();
            self.rest(pause).await;
        }
        Next::List
    }

    async fn pause_for(&mut self, fault: &Fault, asked: Option<Duration>) {
        self.lost(fault);
        let pause = match asked {
            Some(asked) => {
                let asked = asked.clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
                asked + jitter::up_to(asked / 4)
            }
            None => self.backoff.pause(),
        };
        self.rest(pause).await;
    }

    /// Waits, but not past the end of an outage.
    pub(super) async fn rest(&mut self, pause: Duration) {
        tokio::select! {
            () = sleep(pause) => {}
            () = self.cx.outage.returned() => self.after_outage(),
        }
    }

    async fn authenticate(&mut self, fault: &Fault) {
        let generation = self.cx.client.generation();
        self.cx.client.authenticate(generation).await;
        self.denials += 1;
        // The first refusal is mended at once by a token that was renewed.
        if self.denials > 1 {
            self.lost_with(&format!("{fault}; the credentials are read again before each try"));
            let pause = self.backoff.pause();
            self.rest(pause).await;
        }
    }

    /// A right is missing, if the server means it.
    async fn denied(&mut self, phase: Phase) -> Next {
        self.denials += 1;
        match rights::missing(&self.cx.client, &self.target).await {
            Ok(missing) if !missing.is_empty() => {
                if self.revision.is_some() && self.denials < DENIALS {
                    // Not worth a word before it is confirmed.
                    sleep(DENIED).await;
                    // A watch that is granted would hide for ever that lists are not.
                    if missing.contains(&"watch") {
                        self.again(phase).await
                    } else {
                        Box::pin(self.denied(phase)).await
                    }
                } else {
                    self.synced = None;
                    self.state(State::Denied, rights::remedy(&self.target, &missing));
                    self.rights_granted().await;
                    // Its rows may have been dropped meanwhile: a watch from where it was would not bring them back.
                    Next::List
                }
            }
            Ok(_) => {
                self.lost_with("refused (403), though the server says that the rights are there");
                let pause = self.backoff.pause().min(LOOK_AGAIN);
                self.rest(pause).await;
                self.again(phase).await
            }
            Err(fault) if fault.is_outage() => {
                self.lost(&fault);
                self.outage_over(&fault).await;
                self.again(phase).await
            }
            Err(fault) => {
                self.pause_for(&fault, fault.retry_after()).await;
                self.again(phase).await
            }
        }
    }

    /// Waits until what is missing is granted. The server's own word about rights is asked for: a try would be refused, and cost more.
    async fn rights_granted(&mut self) {
        // Its own: how long a right was missing says nothing of the faults to come.
        let mut backoff = Backoff::default();
        loop {
            self.rest(backoff.pause().min(LOOK_AGAIN)).await;
            match rights::is_sufficient(&self.cx.client, &self.target).await {
                Ok(true) => break,
                Ok(false) => {}
                Err(fault) if fault.is_outage() => self.outage_over(&fault).await,
                Err(fault) if fault.class() == "unauthorized" => {
                    self.cx.client.authenticate(self.cx.client.generation()).await;
                }
                Err(fault) => tracing::debug!(source = %self.target, %fault, "the rights are not told"),
            }
        }
        // The next refusal is the first of its own row, even if nothing was read in between.
        self.denials = 0;
        // Another cluster may grant what this one did.
        self.broke = Some(Instant::now());
    }

    async fn outage_over(&mut self, fault: &Fault) {
        self.cx.outage.over(fault).await;
        self.after_outage();
    }

    pub(super) fn after_outage(&mut self) {
        // What was answered before it was away says nothing of who is back.
        self.broke = Some(Instant::now());
        self.verify_later();
    }

    /// A restored etcd may have passed the revision that was seen.
    fn verify_later(&mut self) {
        self.verify.get_or_insert_with(|| Instant::now() + VERIFY + jitter::up_to(VERIFY));
    }

    /// The API is not there, if the server means it.
    async fn absent(&mut self, fault: &Fault) -> Next {
        let since = *self.missing.get_or_insert_with(Instant::now);
        let rows = self.revision.is_some();
        if rows && since.elapsed() < BELIEVED_ABSENT {
            self.lost_with(&format!("{fault}; an API that was there is believed to be gone after {BELIEVED_ABSENT:?}"));
            self.synced = None;
            sleep(LOOK_FOR_REQUIRED).await;
            self.look_in_another_version();
            return Next::List;
        }
        // Of another cluster nothing is believed; without an answer neither.
        if rows && self.is_another(Instant::now()).await.unwrap_or(true) {
            self.missing = None;
            return Next::List;
        }
        if self.look_where_it_is().await != Some(Served::Nowhere) {
            // It exists after all, or that is not known: the list's 404 may be a lie.
            let is_new = self.told.is_some_and(|told| told.elapsed() < NEW_API);
            let pause = if is_new { BEGINS } else { self.backoff.pause().min(LOOK_AGAIN) };
            self.rest(pause).await;
            return Next::List;
        }
        if rows {
            warn!(source = %self.target, "its API is gone, and its objects with it");
            self.scope.drop_rows(std::slice::from_ref(&self.target));
            self.revision = None;
        }
        self.synced = None;
        self.state(State::Absent, self.not_installed());
        if self.target.is_optional() {
            self.scope.settle(&self.target);
        }
        self.api_installed().await;
        Next::List
    }

    /// Waits until discovery tells of the API, which one source asks for all.
    async fn api_installed(&mut self) {
        let pause = if self.target.is_optional() { LOOK_FOR_OPTIONAL } else { LOOK_FOR_REQUIRED };
        loop {
            self.rest(pause).await;
            if self.look_where_it_is().await != Some(Served::Nowhere) {
                // The server tells of an API before it serves it.
                self.told = Some(Instant::now());
                return;
            }
        }
    }

    /// What discovery says of the API; `None` when it does not say.
    async fn look_where_it_is(&mut self) -> Option<Served> {
        match self.cx.apis.of(self.target.kind).await {
            Ok(served) => {
                if let Served::In(version) = served {
                    self.dialect.version = version;
                }
                Some(served)
            }
            Err(fault) => {
                tracing::debug!(source = %self.target, %fault, "discovery does not tell of the API");
                self.look_in_another_version();
                None
            }
        }
    }

    /// Another of the versions that we read may be served.
    fn look_in_another_version(&mut self) {
        self.dialect.version += 1;
    }

    fn not_installed(&self) -> String {
        let (kind, group) = (self.target.kind, self.target.kind.group());
        let looked = "it is looked for all the time";
        if self.target.is_optional() {
            format!("the API of {kind} ({group}) is not installed, so there is none; {looked}")
        } else {
            format!("the API of {kind} ({group}) is not installed: install the CRDs of the Gateway API; {looked}")
        }
    }

    /// Touch is lost; what was delivered stays.
    fn lost(&mut self, fault: &Fault) {
        self.lost_with(&fault.to_string());
    }

    pub(super) fn lost_with(&mut self, reason: &str) {
        self.synced = None;
        let state = if self.revision.is_some() { State::Stale } else { State::Listing };
        self.state(state, reason);
    }
}
