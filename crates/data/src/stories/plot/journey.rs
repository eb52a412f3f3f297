//! A visit to someone who lives far away.

use super::{Goal, Obstacle};

pub(super) const GOAL: Goal = Goal {
    name: "journey",
    wants: r#"{then} {hero} set out to visit {his} {loved.my}, who lived [on the other side of {place}|far away, behind {place}]. {He} had a basket with {food}, {food2} and a [jar|pot|bottle] of {ingredient}. [Left, right, left, right|One foot, two feet|Hop and skip], {he} went, past {a tree} tree, past {a beast}, past a field of {flower}."#,
    moral: r#"[went to see|visited|took the road to] {loved} every [week|Sunday|month|spring], rain or shine"#,
    obstacles: &[BRIDGE, FOG, CROSSROADS],
};

const BRIDGE: Obstacle = Obstacle {
    name: "bridge",
    happens: r#"Then {he} came to a [river|stream|deep ditch], and the bridge was [gone|broken]! Nothing was left of it but {number} [planks|stones|nails] and {a junk}. The water was [cold|deep|fast|wild]. {Hero} felt [so|very] {sad}."#,
    plea: "I must go to {loved}, but the bridge is gone",
    helped: &[
        r#"{Helper} [pointed to|found] a [fallen|long] log. They rolled it [with|on] {a pole} and pushed it [across|over the water]. {Helper} went first, arms wide, like a [dancer|bird|scarecrow]. {Hero} came next, with the basket on {his} head. One jar of {ingredient} [fell in|got wet], but [the fish were glad|nobody else did]."#,
        r#""[I know an old boat|There is a boat]," said {helper}, "and {a pole}." The boat was [small|round|leaky|{color2}], and it smelled of {food}. {Helper} [rowed|steered], and {hero} [bailed out water|sang loudly]. {A beast2} sat on the [bow|edge] and [looked like a captain|told them the way]. Soon they were across."#,
    ],
    alone: &[
        r#"{He} threw in a stone, and another, and another, [until there was a path|all in a row]. It took {number} hours. Then {he} [hopped|jumped] from stone to stone. [Plop|Splash]! One foot got wet. {He} hung {his} sock on {a junk2} and [went on|laughed]. At last {he} saw {loved}'s house, with [smoke|light] in [the chimney|the window]."#,
    ],
};

const FOG: Obstacle = Obstacle {
    name: "fog",
    happens: r#"Then [fog|mist] came up from the [ground|river|hills]. It was as thick as [soup|wool|porridge|smoke]. {Hero} could not see [the path|{his} own feet|the end of {his} nose]. {He} bumped into {a junk}, [and then into a fence|and then into a wall|and then into a cow]. {He} was lost, and {he} felt [so|very] {sad}."#,
    plea: "I am going to {loved}, and I am lost in the fog",
    helped: &[
        r#""[I know this way|I know every stone here]," said {helper}. "[Hold on to|Take hold of] my [coat|tail|belt]." {Helper} [whistled|hummed|counted steps], and {hero} followed the sound, past {a junk2}, up a hill, down a hill. [Sniff, sniff|Mmm]! {Hero} could smell {loved}'s [kitchen|bread|garden|pie] before {he} could see the house."#,
        r#""[It will go when|Wait until] the sun is [high|up]," said {helper}. They sat down [on a log|on the basket|side by side] and ate some {food2}. {Helper} told {him} about {a thief} who [could read|married a teapot|went to sea|was mayor of a town]. When the story was done, the fog was [gone|thin], and {loved}'s house was [right there|only {number} steps away]!"#,
    ],
    alone: &[
        r#"{He} [stood still|listened] and [opened|used] {his} ears. [Ding, dong|Cock-a-doodle-doo|Moo, moo]! That came from the [left|right]. [Splash, splash|Trickle, trickle]! That was the [stream|mill]. {Loved}'s house was between the two. Step by step {he} went on, with {a pole} in front of {him}. {He} knocked on {number} trees and {a beast2} before {he} knocked on the door."#,
    ],
};

const CROSSROADS: Obstacle = Obstacle {
    name: "crossroads",
    happens: r#"Then the road [split|went three ways]. The sign had fallen [down|in the mud], and {a beast2} was sitting on it. {Hero} [tried|took] one road, and it ended at {a junk}. {He} [tried|took] another, and it [went in a circle|ended in a swamp]. {His} legs were [tired|heavy|sore], and {he} felt [so|very] {sad}."#,
    plea: "I do not know which road goes to {loved}",
    helped: &[
        r#"{Helper} [drew|made] a map in the [sand|dust|mud]. "Here is {a tree} tree. Turn [left|right]. Here is {a junk2}. Turn [left|right] again. [Do not talk to|Say hello to] the {thief}," said {helper}. {Hero} said it over {number} times. Everything was [just so|as {helper} had said], and there stood {loved} at the gate."#,
        r#""[Put up the sign|Let us put up the sign] first," said {helper}. "[You came from home|You know where you came from]. So turn it until home points [to|at] home." {Hero} [laughed|clapped]. It was so [easy|clever]! Now the [third|last] arm pointed to {loved}. They nailed it fast with {a junk2}, and {hero} [ran|marched] the rest of the way."#,
    ],
    alone: &[
        r#"{He} looked at the basket. [A crumb fell out|It smelled of {food2}]. {A thief} came [and sniffed|and looked hungry]. "[Show me the way|Take me to {loved}], and you may have some {food2}," said {hero}. The {thief} [trotted|ran] ahead, {number} steps at a time. It took the [middle|narrow|steep|left] road, and {loved} gave them both [tea|soup|a chair by the fire]."#,
    ],
};
