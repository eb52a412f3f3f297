//! A visit to someone who lives far away.

use super::{Goal, Obstacle};

pub(super) const GOAL: Goal = Goal {
    name: "journey",
    wants: r#"{then} {hero} set out to visit {his} {loved.my}, who lived [on the other side of {place}|far away,
        behind {place}]. {He} had {a nice} basket with {food}, {food2} and {a nice} [jar|pot|bottle] of {ingredient}.
        {He} {quickly} went past {a tree} tree, past {a critter}, past a field of {flower}."#,
    moral: r#"[went to see|visited|took the road to] {loved} every [week|Sunday|month|spring], rain or shine"#,
    obstacles: &[BRIDGE, FOG, CROSSROADS],
};

const BRIDGE: Obstacle = Obstacle {
    name: "bridge",
    happens: r#"Then {he} came to {a nice} [river|stream|ditch]. "{oh}!" {cried} {hero}. The bridge was gone! Nothing
        was left but {number} {nice} [planks|stones|nails] and {a thing}. {Hero} felt {very} {sad}, like {like}."#,
    plea: "I must go to {loved}, but the bridge is gone",
    helped: &[
        r#"{Helper} {quickly} [pointed to|found] {a nice} log. They {quickly} rolled it [with|on] {a pole} and pushed
            it [across|over the water]. {Helper} went first, arms wide, like a [dancer|bird|scarecrow]. {Hero} came
            next, with the basket on {his} head. The {ingredient} [fell in|got wet], but [the fish were glad|nobody
            else did]."#,
        r#""[I know an old boat|There is a boat]," {said} {helper}{kindly}, "and {a pole}." The boat was {nice} and
            {color2}, and it smelled of {food}. {Helper} [rowed|steered], and {hero} [bailed out water|sang loudly].
            {A critter} sat on the [bow|edge] and [looked like a captain|told them the way]. Soon they were across."#,
    ],
    alone: &[
        r#"{He} threw in a stone, and another, and another, [until there was a path|all in a row]. It took {number}
            hours. Then {he} {quickly} [hopped|jumped] from stone to stone. [Plop|Splash]! One foot got wet. {He} hung
            {his} sock on {a thing} and [went on|laughed]. At last {he} saw {loved}'s house, with [smoke|light] in
            [the chimney|the window]."#,
    ],
};

const FOG: Obstacle = Obstacle {
    name: "fog",
    happens: r#"Then fog came up. It was as thick as [soup|wool|porridge|smoke|mud|milk|jam|a wall]. {Hero} could not
        see [the path|{his} own feet|the end of {his} nose]. {He} bumped into {a thing}, and then into {a nice}
        [fence|wall|cow|haystack|bush]. {He} felt {very} {sad}, like {like}."#,
    plea: "I am going to {loved}, and I am lost in the fog",
    helped: &[
        r#""[I know this way|I know every stone here]," {said} {helper}{kindly}. "[Hold on to|Take hold of] my
            [coat|tail|belt]." {Helper} [whistled|hummed|counted steps], and {hero} followed the sound, past
            {a thing}, up {a nice} hill, down {a nice} hill. [Sniff, sniff|Mmm]! {Hero} could smell {loved}'s
            [kitchen|bread|garden|pie] before {he} could see the house."#,
        r#""[It will go when|Wait until] the sun is [high|up]," {said} {helper}{kindly}. They {quickly} sat down [on a
            log|on the basket|side by side] and ate some {food2}. {Helper} told {him} about {a thief} who [could
            read|married a teapot|went to sea|was mayor of a town]. When the story was done, the fog was [gone|thin],
            and {loved}'s house was [right there|only {number} steps away]!"#,
    ],
    alone: &[
        r#"{He} held {his} breath and {quickly} [opened|used] {his} ears. [Ding, dong|Cock-a-doodle-doo|Moo, moo]!
            That came from the [left|right]. [Splash, splash|Trickle, trickle]! That was the [stream|mill]. {Loved}'s
            house was between the two. Step by step {he} went on, with {a pole} in front of {him}. {He} knocked on
            {number} trees and {a critter} before {he} knocked on the door."#,
    ],
};

const CROSSROADS: Obstacle = Obstacle {
    name: "crossroads",
    happens: r#"Then the road [split|went {number} ways]. The sign lay in the mud, and {a critter} was sitting on it.
        {Hero} {quickly} [tried|took] one road, and it ended at {a nice} [well|wall|barn|cave|gate]. {He} {quickly}
        [tried|took] another, and it ended at {a thing}. {He} felt {very} {sad}, like {like}."#,
    plea: "I do not know which road goes to {loved}",
    helped: &[
        r#"{Helper} {quickly} [drew|made] {a nice} map in the [sand|dust|mud]. "Here is {a tree} tree. Turn
            [left|right]. Here is {a thing}. Turn [left|right] again. [Do not talk to|Say hello to] the {thief},"
            {said} {helper}{kindly}. {Hero} said it over {number} times. Soon {loved} stood before {him}, with
            {a thing} in {loved.his} hand."#,
        r#""[Put up the sign|Let us put up the sign] first," {said} {helper}{kindly}. "Turn it until home points to
            home." {Hero} [laughed|clapped]. It was so [easy|clever]! Now the [third|last] arm pointed to {loved}.
            They {quickly} nailed it fast with {a thing}, and {hero} [ran|marched] the rest of the way."#,
    ],
    alone: &[
        r#"{He} looked at the basket. [A crumb fell out|It smelled of {food2}]. {A thief} came [and sniffed|and looked
            hungry]. "[Show me the way|Take me to {loved}], and you may have some {food2}," said {hero}. The {thief}
            {quickly} [trotted|ran] ahead, {number} steps at a time. It took the [middle|narrow|steep|left] road, and
            {loved} gave them both [tea|soup|a chair by the fire]."#,
    ],
};
