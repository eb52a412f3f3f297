//! Who comes along when things have gone wrong.

use super::{Helper, Who};

pub(super) const HELPERS: &[Helper] = &[
    Helper {
        name: "family",
        who: Some(Who { role: "elder", called: "{elder}", address: "{elder}" }),
        meets: r#"[{Hero} ran to|{Hero} went to find|{Hero} called|Soon {hero} saw] {his} {elder.my}, who was [mending
            {a thing}|picking {bloom}|making {meal}|talking to {a critter}|busy with {trinkets}]. "[What is wrong|What
            happened|Why are you so {sad}|What is it], [dear|my dear|sweetie|my little one|darling|my sunshine|sweet
            pea|my {trait} {kind}]?" [asked|said] {elder}. "{plea}," {sighed} {hero}{sadly}."#,
    },
    Helper {
        name: "friend",
        who: Some(Who { role: "friend", called: "{friend}", address: "{friend}" }),
        meets: r#"[Just then|A little later|Luckily|Soon|Before long|At that moment], {his} [best friend|good
            friend|friend] {friend}{friendkind} came [by|along|over|running|skipping|marching by], [eating
            {meal}|carrying {a thing}|chasing {a critter}|with some {trinkets}|with {a color3} {cloth}]. "[What is the
            matter|What happened|Why do you look so {sad}|Can I help you|What is it], {hero}?" asked {friend}.
            "{plea}," {sighed} {hero}{sadly}."#,
    },
    Helper {
        name: "stranger",
        who: Some(Who { role: "creature", called: "the {creature}", address: "kind {creature}" }),
        meets: r#"[Soon|After a while|Before long|Just then|Luckily|A little later], [an old|a wise|a kind|a
            friendly|a tall|a round|a young|a quiet] {creature} came by with [a bag of {trinkets}|a basket of
            {meal}|{a thing}|{a critter}|a bunch of {bloom}] and [saw|heard|noticed|spotted|found] {him}. "[Oh
            dear|Alas|Please help me|Excuse me|Good day|Please wait|Listen]. {Plea}," {sighed} {hero}{sadly}."#,
    },
    Helper {
        name: "neighbor",
        who: Some(Who { role: "neighbor", called: "{neighbor}", address: "{neighbor}" }),
        meets: r#"{Neighbor}, who was [watering {bloom}|painting {a thing}|selling {meal}|counting {trinkets}|feeding
            {a critter}] [next door|down the road|across the street|around the corner|by the gate|in the sun|nearby|on
            a ladder], [saw|heard] {him}. "[Tell me all about it,|Now, now,|What can I do?|There, there,|Come
            here,|Good day,|Do not cry,|Hello,]" said {neighbor}{kindly}. "{Plea}," {sighed} {hero}{sadly}."#,
    },
    Helper {
        name: "alone",
        who: None,
        meets: r#"{Hero} [sat down|stood still|took a deep breath|closed {his} eyes|walked in a circle|scratched {his}
            head|hummed a tune|looked at the sky] and thought of [{meal}, of {trinkets}|{bloom}, of {meal}|{trinkets},
            of {a critter}] and of {dream}. "[I will not give up|I can do this|There must be a way|Crying will not
            help|I have an idea|Let me see|Now I know|{A trait} {kind} does not give up]," {he} [said|whispered|told
            {himself}]{kindly}."#,
    },
];
