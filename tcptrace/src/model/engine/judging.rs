//! What follows from what was found out: whom to tell of, what to keep, and what is over.

use core::time::Duration;
use std::sync::Arc;

use super::{AGAIN, Engine, EngineConfig, Output, RETRY};
use crate::model::alert::{Alert, alert_id};
use crate::model::evidence::Evidence;
use crate::model::orphans::Minisockets;
use crate::model::reads::{EofRead, first_read};
use crate::model::snapshot::Observed;
use crate::model::stay::{Ended, Stay, StayId};
use crate::model::time::Instant;
use crate::model::verdict::{Finding, Judgement, find, judge};

impl Engine {
    pub(super) fn orphans_shown(&mut self, now: Instant, shown: Option<&Minisockets>) {
        let Some(&(looked_at, ref sockets, ref code)) = shown else {
            self.orphans.not_shown(now.after(RETRY));
            return;
        };
        if self.orphans.asked_everywhere() {
            self.conditions.minisockets(sockets);
        }
        let Self { tracker, config, orphans, .. } = self;
        let threshold = |socket: &Observed| config.rules.of_minisocket(socket, &config.thresholds);
        let (stuck, ended) = orphans.shown(looked_at, sockets, threshold, || tracker.name());
        for stay in stuck {
            let mut evidence = Evidence::of_minisocket(looked_at, &stay, sockets);
            evidence.stack = stay.shut.and_then(|path| code.get(&path)).cloned();
            let finding = find(&stay, &evidence, self.config.thresholds.fin_wait2);
            self.accuse(now, stay, evidence, finding);
        }
        for ended in ended {
            self.over(&ended, None);
        }
        self.tick(now);
    }

    pub(super) fn judge_all(&mut self, now: Instant, evidence: Option<Vec<(StayId, Evidence)>>) {
        let asked = self.examining.take().unwrap_or_default();
        let Some(evidence) = evidence else {
            for id in asked {
                self.tracker.postpone(id, now.after(RETRY), None, now);
            }
            return;
        };
        for (id, evidence) in evidence {
            self.judge(now, id, evidence);
        }
        self.tick(now);
    }

    fn judge(&mut self, now: Instant, id: StayId, mut evidence: Evidence) {
        if let Some((cookie, netns)) = evidence.located {
            self.tracker.locate(id, cookie, netns);
        }
        let Some(mut stay) = self.tracker.get(id) else { return };
        evidence.eof_reads = self.reads.of(stay.key);
        if let Some(memory) = self.memories.get(&id) {
            evidence.recall(memory);
            stay.accepted |= memory.accepted;
        }
        let path = first_read(&evidence.eof_reads).and_then(|read| read.path);
        evidence.proof = path.and_then(|path| self.reads.proof(path));
        evidence.opened_proof = stay.opened.and_then(|path| self.tracker.proof(path));
        evidence.sources.eof = self.config.eof && self.began.is_some_and(|at| stay.since >= at);
        let threshold = self.least(&stay, &evidence);
        let due = stay.since.after(threshold);
        // Looked at for the record: whether bytes still move shows in that time.
        let early = evidence.looked_at < due;
        let in_use = self.config.thresholds.record.filter(|_| early).unwrap_or(threshold);
        match judge(&stay, &evidence, in_use) {
            Judgement::Stuck(finding) => {
                let again = if early { due } else { now.after(AGAIN) };
                let next = self.accuse(now, stay, evidence, finding);
                let again = next.map_or(again, |next| next.min(again));
                self.tracker.postpone(id, again.max(now), None, now);
            }
            Judgement::InUse(_, again) => {
                let progress = evidence.progress;
                // Bytes were there at some time since the look began, which can be long ago. Where the
                // kernel does not say when the last one moved, that has to do.
                let told = evidence.last_send.or(evidence.last_recv).is_some();
                let at = if told { now } else { evidence.looked_at };
                let finding = Arc::new(find(&stay, &evidence, in_use));
                let evidence = Arc::new(evidence);
                self.record(&stay, &evidence, &finding);
                self.conditions.looked_at(id, &evidence, &finding);
                let again = if early { due } else { again };
                self.tracker.postpone(id, again, progress, at);
            }
            Judgement::Exempt(_) => {}
            // Its transition is on its way; if that was lost, the next look finds it vanished.
            Judgement::Gone => self.tracker.postpone(id, now.after(RETRY), None, now),
            Judgement::Vanished => {
                if let Some(ended) = self.tracker.forget(id, now) {
                    let read = self.reads.forget(ended.stay.key);
                    self.over(&ended, read);
                }
            }
        }
    }

    /// Keeps what is known of a stay, whoever wants to hear of it.
    fn record(&mut self, stay: &Stay, evidence: &Arc<Evidence>, finding: &Arc<Finding>) {
        let Some(ledger) = &mut self.ledger else { return };
        let id = alert_id(&self.config.boot_id, stay);
        if let Some(entry) = ledger.known(id, *stay, evidence, finding) {
            self.outputs.push_back(Output::Keep(entry));
        }
    }

    /// The least time that the stay may last, as far as what was found out about it is all there is to
    /// know.
    fn least(&self, stay: &Stay, evidence: &Evidence) -> Duration {
        let EngineConfig { rules, thresholds, .. } = &self.config;
        let threshold = thresholds.of(stay.state);
        if rules.stuck.is_empty() {
            return threshold;
        }
        let finding = find(stay, evidence, threshold);
        rules.weigh(stay, evidence, &finding, Duration::ZERO, thresholds).first
    }

    /// Tells of a stay that is stuck, if that has lasted for too long and anybody wants to hear of it.
    /// Returns when there may be more to say.
    fn accuse(
        &mut self,
        now: Instant,
        stay: Stay,
        evidence: Evidence,
        finding: Finding,
    ) -> Option<Instant> {
        let (evidence, finding) = (Arc::new(evidence), Arc::new(finding));
        self.record(&stay, &evidence, &finding);
        self.conditions.looked_at(stay.id, &evidence, &finding);
        let EngineConfig { rules, thresholds, .. } = &self.config;
        let age = evidence.looked_at.since(stay.since);
        let weighed = rules.weigh(&stay, &evidence, &finding, age, thresholds);
        let next = weighed.next.map(|next| stay.since.after(next));
        let wanted = self.told_of.admits_finding(&stay, &evidence, &finding)
            && !rules.ignores(now, &stay, &evidence, &finding);
        let told = self.firing.get(&stay.id);
        let Some((urgency, threshold)) = weighed.told.filter(|_| wanted) else {
            if told.is_some() {
                self.withdraw(now, stay.id);
            }
            return next;
        };
        let same = |told: &Arc<Alert>| !told.finding.differs(&finding) && told.urgency == urgency;
        if told.is_some_and(same) {
            return next;
        }
        self.fire(Alert {
            id: alert_id(&self.config.boot_id, &stay),
            group: self.groups.id_of(&self.config.boot_id, &stay, &finding, &urgency),
            stay,
            at: now,
            threshold,
            urgency,
            finding,
            evidence,
            ended_by: None,
            reset_sent: None,
            withdrawn: false,
        });
        next
    }

    /// Nobody wants to hear any more of a stay that was told of and goes on.
    fn withdraw(&mut self, now: Instant, id: StayId) {
        if let Some(alert) = self.firing.remove(&id) {
            self.groups.take_out(&alert, now);
            let alert = Arc::unwrap_or_clone(alert).withdrawn(now);
            self.outputs.push_back(Output::Alert(Arc::new(alert)));
        }
    }

    fn fire(&mut self, alert: Alert) {
        let alert = Arc::new(alert);
        self.groups.add(&alert);
        match self.firing.insert(alert.stay.id, Arc::clone(&alert)) {
            Some(before) => self.groups.withdraw(&before, &alert),
            None => self.alerts += 1,
        }
        self.outputs.push_back(Output::Alert(alert));
    }

    /// A stay is over for good; `read` is who read its end of file first.
    pub(super) fn over(&mut self, ended: &Ended, read: Option<EofRead>) {
        self.record_end(ended, read);
        self.let_go(ended.stay.id);
        self.resolve(ended);
    }

    /// Forgets what was known of a stay besides.
    pub(super) fn let_go(&mut self, id: StayId) {
        self.conditions.over(id);
        if !self.memories.is_empty() {
            self.memories.remove(&id);
        }
    }

    pub(super) fn record_end(&mut self, ended: &Ended, read: Option<EofRead>) {
        self.ends.add(ended.stay.state, ended.by, ended.at.since(ended.stay.since));
        if let Some(entry) = self.ledger.as_mut().and_then(|ledger| ledger.ended(ended, read)) {
            self.outputs.push_back(Output::Keep(entry));
        }
    }

    fn resolve(&mut self, ended: &Ended) {
        // Nearly every stay of a healthy host ends here.
        if self.firing.is_empty() {
            return;
        }
        if let Some(alert) = self.firing.remove(&ended.stay.id) {
            let alert = Arc::unwrap_or_clone(alert).resolved(ended);
            self.groups.remove(&alert);
            self.outputs.push_back(Output::Alert(Arc::new(alert)));
        }
    }
}
