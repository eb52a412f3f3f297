//! Two friends and one toy.

use super::{Goal, Obstacle};

pub(super) const GOAL: Goal = Goal {
    name: "quarrel",
    wants: r#"{then} {hero} and {rival} [met|played] {place.at}. They had been friends [for a long time|for {number} years|since they were babies|since last [summer|winter]]. {Spot}, they found {a color} {toy}. "[I saw it first|It is mine]!" said {hero}. "No, [I saw it first|it is mine|I did]!" said {rival}. Each of them pulled
        at one end."#,
    moral: r#"[shared|was glad to share] [everything|all {his} toys|even {his} {food}] with {rival}"#,
    obstacles: &[TORE, LEFT, SHOUTED],
};

const TORE: Obstacle = Obstacle {
    name: "tore",
    happens: r#"They pulled and pulled. [Rip|Snap|Crack]! The {toy} broke in two, and they both fell [down|over] {spot2}. {Rival} [held|looked at] one half, and {hero} [held|looked at] the other half. Now nobody had {a toy}, and {hero} felt [so|very] {sad}."#,
    plea: "We both wanted the {toy}, and now it is broken",
    helped: &[
        r#"{Helper} [took|looked at] the two halves. "One alone can not mend it," said {helper}, "but two can." So {hero} [held|pressed] the halves together, and {rival} [wound|tied] some {material} around them, {number} times. It looked like {a junk}, but it worked! "[You first|After you]," they said, both at once, and
        laughed."#,
        r#""[Once|Long ago], two friends of mine broke {a junk}," said {helper}. "[They never spoke again|They are still angry]. [Is that what you want|Do you want to be like them]?" {Hero} looked at {rival}, and {rival} looked at {hero}. "[No|Never]!" they said. They made {a junk2} and {a gift} out of the two halves and played [shop|pirates|school|circus|kings and queens] until
        [lunch|evening]."#,
    ],
    alone: &[
        r#"{He} [gave|handed] {his} half to {rival}. "[You can have it|I am sorry]," {he} said. {Rival} [blushed|was quiet]. Then {rival.he} gave {rival.his} half to {hero}! They gave the halves [back and forth|to each other] {number} times, and in the end they [sewed|glued|tied] them together with some {material}."#,
    ],
};

const LEFT: Obstacle = Obstacle {
    name: "left",
    happens: r#"{Hero} was stronger, and {he} [got|won] the {toy}. {Rival} [turned around|began to cry|did not say a word] and [went home|walked away]. {Hero} played with the {toy} {spot2}, and then {spot3}, but it was no fun [alone|at all]. Even {a beast} [turned its back on {him}|did not want to watch]. {He} felt [so|very]
        {sad}."#,
    plea: "I have the {toy}, but I have lost {rival}",
    helped: &[
        r#""[A friend is worth more than|No friend is worth less than|You can not laugh with] {a toy}," said {helper}. "[Go and tell {rival}|Say it to {rival}]." They [went|walked] to {rival}'s [door|house|window] and [knocked|rang]. "I am sorry," said {hero}. "[Here, it is yours|You may have it first]." {Rival} smiled. "Let us play with it
        [together|by turns]," said {rival.he}."#,
        r#"{Helper} [gave|handed] {him} a [pencil|pen|crayon] and a piece of paper. {Hero} wrote, "[Dear|My dear] {rival}, I miss you. [The {toy} misses you too|Come back, and bring {food}|Let us share]." {Helper} [took|carried] the letter to {rival}. {Number} minutes later, {rival} came running, [out of breath|with open arms|with some {flower}]."#,
    ],
    alone: &[
        r#"{He} ran after {rival}, past {a junk}, past {a tree} tree, all the way to the {landmark}. "[Wait|Stop|Please wait], {rival}!" {he} called. "[You can have|I want you to have] the {toy} on [Mondays|weekdays|sunny days], and I will have it on [Sundays|weekends|rainy days]." {Rival} [nodded|thought about it|grinned]. "And [today|now] it is [ours|for both of us]," said {rival.he}."#,
    ],
};

const SHOUTED: Obstacle = Obstacle {
    name: "shouted",
    happens: r#""You are [as rude as|worse than] {a thief}!" [shouted|yelled] {rival}. "And you are [as silly as|slower than] {a beast}!" [shouted|yelled] {hero}. They shouted so [loudly|much] that {a beast2} fell off a leaf. Then they sat down back to back, and nobody [played|said a word]. {Hero} felt [so|very] {sad}."#,
    plea: "{Rival} and I both want the {toy}",
    helped: &[
        r#"{Helper} drew a [line|circle] in the [sand|dust|mud]. "[Whoever|The one who] throws {a junk} nearest to it will [begin|be first]," said {helper}. They threw it {number} times, and it was such a good game that they [forgot|did not think of] the {toy}. In the end {helper} [played|went home] with it, and nobody minded."#,
        r#"{Helper} [gave|brought] each of them some {food}. "[Eat first|First eat], and [fight|shout] later," said {helper}. They ate and ate. "What were we [fighting|shouting] about?" asked {rival}. "[I forgot|About {a junk}|I do not know]," said {hero}, and they [laughed|giggled] until they [fell over|cried|had to hold their
        bellies]."#,
    ],
    alone: &[
        r#"Then {he} [counted|breathed] slowly to {number} and turned around. {Rival} had turned around too, at the very same [time|moment]. "[Sorry|I am sorry]," they both said. They [built|made] a house for the {toy} {spot2}, with {a junk} for a [door|roof|chimney], so that it could belong to both of them."#,
    ],
};
