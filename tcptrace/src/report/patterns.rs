//! The page of each verdict: symptom, cause, fix.

use crate::model::verdict::Verdict;

/// The languages that the pages are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// English.
    English,
    /// Simplified Chinese.
    Chinese,
}

impl Language {
    /// That of a locale as in `LANG`: `zh_CN.UTF-8`.
    pub fn of_locale(locale: &str) -> Self {
        if locale.starts_with("zh") { Self::Chinese } else { Self::English }
    }
}

macro_rules! pages {
    ($verdict:expr, $($variant:ident => $name:literal),* $(,)?) => {
        match $verdict {
            $(Verdict::$variant => (
                include_str!(concat!("../../../docs/patterns/", $name, ".md")),
                include_str!(concat!("../../../docs/patterns/zh-CN/", $name, ".md")),
            ),)*
        }
    };
}

/// The page of `verdict`, in Markdown.
pub const fn page(verdict: Verdict, language: Language) -> &'static str {
    let (english, chinese) = pages!(verdict,
        Kernel => "kernel",
        NotAccepted => "not_accepted",
        NoFd => "no_fd",
        Sending => "sending",
        SendBlocked => "send_blocked",
        SharedFd => "shared_fd",
        DataUnread => "data_unread",
        EofUnread => "eof_unread",
        EofRead => "eof_read",
        Drained => "drained",
        Orphan => "orphan",
        Receiving => "receiving",
        PeerNotClosing => "peer_not_closing",
        ClosedNotReleased => "closed_not_released",
    );
    match language {
        Language::English => english,
        Language::Chinese => chinese,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::verdict::VERDICTS;

    #[test]
    fn every_verdict_has_its_page_in_both_languages_with_every_section() {
        let sections = [
            (
                Language::English,
                [
                    "Symptom",
                    "What the kernel is doing",
                    "Code that causes it",
                    "Fix",
                    "How to confirm",
                ],
            ),
            (Language::Chinese, ["现象", "内核在做什么", "引起它的代码", "修复", "如何确认"]),
        ];
        for verdict in VERDICTS {
            for (language, sections) in sections {
                let page = page(verdict, language);
                let name = verdict.name();
                assert!(page.starts_with(&format!("# {name}")), "{name} {language:?}");
                let found: Vec<_> =
                    page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
                assert_eq!(found, sections, "{name} {language:?}");
            }
        }
    }

    #[test]
    fn the_locale_says_which_language() {
        assert_eq!(Language::of_locale("zh_CN.UTF-8"), Language::Chinese);
        assert_eq!(Language::of_locale("C"), Language::English);
    }
}
