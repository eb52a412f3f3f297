//! Something broke, and someone must say so.

use super::{Goal, Obstacle};

pub(super) const GOAL: Goal = Goal {
    name: "mishap",
    wants: r#"{then} {hero} was playing [indoors|in the kitchen|in the hall|in the living room] with {a nice} {color}
        {toy}. "[Be careful|Play outside|Not near my {fragile}|Not so fast]," [said|called|warned|sighed]
        {loved}{kindly}. {Hero} {quickly} [ran|jumped|danced|spun] around {number} times. [Crash|Bang|Smash|Clink]!
        {Loved}'s {fragile} [fell|dropped] on the floor and broke."#,
    moral: r#"[told the truth|said what {he} had done], [even when it was hard|no matter what|even to {neighbor}]"#,
    obstacles: &[HID, BLAMED, RAN],
};

const HID: Obstacle = Obstacle {
    name: "hid",
    happens: r#"{Hero} {quickly} [swept up|gathered] the pieces and hid them in {a nice} [drawer|hat|boot|piano|sack|
        basket|oven|suitcase]. But at supper {he} could not eat {his} {food}, and {a critter} on the wall seemed to
        [stare|point|laugh] at {him}. {He} felt {very} {sad}, like {like}."#,
    plea: "I broke the {fragile} and hid the pieces",
    helped: &[
        r#""I once [broke|lost|burned] {a thing}," {said} {helper}{kindly}, "and the [hiding|secret] was worse than
            the [breaking|scolding]. [Come, we will tell {loved.him}|I will go with you]." {Hero} {quickly} told
            {loved} [everything|the truth]. {Loved} [sighed|was quiet for a while]. "[Thank you for telling me|I am
            glad you told me]," {loved.he} said. "{A fragile} is only {a fragile}.""#,
        r#"{Helper} {quickly} helped {him} [carry|bring] the pieces to the table. They [glued|stuck] them together
            [with great care|one by one|until bedtime], and {hero} drew {a beast2} over the [cracks|biggest crack] in
            {color2} paint. Then {he} [showed it to|took it to] {loved} and told {loved.him} everything. "[I like it
            better now|It was boring before|What a fine {beast2}]," said {loved}."#,
    ],
    alone: &[
        r#"{He} {quickly} [wrote|drew] it all on {a nice} piece of paper: the {toy}, the {fragile}, and {number} big
            tears. {He} [put|pushed] the paper under {loved}'s [door|pillow|plate]. After a while, {loved} came with
            [some {food}|a cup of cocoa]. "[I was small once|I broke things too]," {loved.he} said, and hugged {him}."#,
    ],
};

const BLAMED: Obstacle = Obstacle {
    name: "blamed",
    happens: r#""{Rival} did it," said {hero} when {loved} came in. So {rival} had to [sit in the corner|sweep the
        whole house|go without cake|wash {number} pots|stay inside]. {Rival} [looked at {hero}|said nothing|only cried
        a little]. {Hero} [looked at {his} feet|turned red|went to the window], and {he} felt {very} {sad}, like
        {like}."#,
    plea: "I said that {rival} broke the {fragile}, but it was me",
    helped: &[
        r#""A lie is like {a thing} in your [shoe|bed|soup]," {said} {helper}{kindly}. "[It will hurt until you take
            it out|You can not forget it]." {Hero} [nodded|understood]. {He} {quickly} went to {loved} and said, "[It
            was me|I did it|I broke it]." Then {he} [took {rival}'s place|gave {rival} the {toy}|shared {his} {food}
            with {rival}], and {rival} forgave {him}."#,
        r#"{Helper} [said nothing|only looked at {him}] for {number} minutes. It was very [quiet|still]. Then {hero}
            [stood up|jumped up] and ran to {loved} and {rival}. "{Rival} did not break it. I did!" {he}
            [cried|shouted]. {Loved} [nodded|smiled a little]. They all {quickly} bought a new {fragile} together,
            {a color2} one with {flower} on it."#,
    ],
    alone: &[
        r#"{He} could not [stand|bear] it. {He} {quickly} went to {rival} and [sat down|swept] beside {rival.him}. "[I
            told a lie|I was wrong], and I will [say so|put it right]," {he} said. They went to {loved} [hand in
            hand|together]. {Loved} was angry for [one minute|{number} minutes], and then it was over, like [rain|a
            cold|a bad dream]."#,
    ],
};

const RAN: Obstacle = Obstacle {
    name: "ran away",
    happens: r#"{Hero} {quickly} put {his} {toy} and some {food} in {a nice} bag and ran away, to {place}. {He} hid
        {spot}. It got [dark|cold|late]. {A critter} went home. {A beast2} went home. Only {hero} did not, and {he}
        felt {very} {sad}, like {like}."#,
    plea: "I broke {loved}'s {fragile}, so I can not go home",
    helped: &[
        r#""[Which is bigger|What is bigger], {a fragile} or you?" asked {helper}{kindly}. "[Me|I am]," said {hero}.
            "And which would {loved} miss more?" {Hero} [thought|looked up]. They {quickly} went home [by the light of
            the moon|hand in hand|past {a thing}]. {Loved} was standing [at the gate|in the door|by the road]. "[There
            you are|You are back]!" {loved.he} cried, and did not [ask|say a word] about the {fragile}."#,
        r#"{Helper} [shared|ate] the {food} with {him} and told {him} a secret. "I once broke {a thing}, {a thing} and
            {number} eggs," {helper.he} {said}{kindly}. "[Go home and say it fast|Say it quickly]," {said}
            {helper}{kindly}, "like [jumping into cold water|pulling off a tight boot]." {Hero} {quickly} ran home. "I
            broke it!" {he} said. "[I know|I saw]," said {loved}. "[Supper is ready|I was so worried about you]. Come
            in.""#,
    ],
    alone: &[
        r#"{He} [picked|found] some {flower} {spot2} and [walked|went] home, [slowly|one step after another]. {He}
            practiced the whole way: "I am sorry. I am sorry." When {loved} opened the door, {he} forgot [all of
            it|every word] and only [cried|held out the {flower}]. {Loved} understood. They [made|bought] {a color2}
            {fragile} the next week."#,
    ],
};
