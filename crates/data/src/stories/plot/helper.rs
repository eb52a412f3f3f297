//! Who comes along when things have gone wrong.

use super::Helper;

pub(super) const HELPERS: &[Helper] = &[
    Helper {
        name: "family",
        role: Some("elder"),
        called: "{elder}",
        address: "{elder}",
        meets: r#"[{Hero} ran to|{Hero} went to find|{Hero} called|Soon {hero} saw] {his} {elder.my}. "[What is
            wrong|What happened|Why are you so {sad}], [dear|my dear|sweetie|my little one|darling]?" [asked|said] {elder}.
            "{plea}," [said|answered|sobbed|sighed] {hero}."#,
    },
    Helper {
        name: "friend",
        role: Some("friend"),
        called: "{friend}",
        address: "{friend}",
        meets: r#"[Just then|A little later|Luckily], {his} [best friend|good friend|friend] {friend}{friendkind} came [by|along|
            over]. "[What is the matter|What happened|Why do you look so {sad}], {hero}?" asked {friend}. "{plea}," [said|
            answered|explained|groaned] {hero}."#,
    },
    Helper {
        name: "stranger",
        role: Some("creature"),
        called: "the {creature}",
        address: "kind {creature}",
        meets: r#"[Soon|After a while|Before long], [an old|a wise old|a kind|a friendly|a tall] {creature} [came by|stopped|walked past]
            and [saw|heard|noticed] {him}. "[Can I help you|Why do you look so {sad}|Do you need help]?" asked
            the {creature}. "[Yes, please|Oh dear|I hope so]. {Plea}," said {hero}."#,
    },
    Helper {
        name: "neighbor",
        role: Some("neighbor"),
        called: "{neighbor}",
        address: "{neighbor}",
        meets: r#"{Neighbor}, who lived [next door|down the road|across the street|around the corner], [saw|heard] {him} and came [out|over|to help]. "[Tell me all
            about it|Now, now|What can I do]," said {neighbor}. {Hero} [took a deep breath|looked up|wiped {his} eyes]. "{Plea}," {he} said."#,
    },
    Helper {
        name: "alone",
        role: None,
        called: "{hero}",
        address: "{hero}",
        meets: r#"{Hero} [sat down|stood still|took a deep breath|closed {his} eyes|walked in a circle] and thought [hard|about it|for a long
            time|for {number} minutes]. "[I will not give up|I can do this|There must be a way|Crying will not help|A {trait} {kind} does not give up]," {he}
            [said|whispered|told {himself}]."#,
    },
];
