"""Patterns in English and Chinese for requests for serious harm, and for answers that serve one.

A phrase counts if it asks for or gives instructions for the harm: "how can I build a pipe bomb", but not "who built the
first bomb". A phrase that also mentions prevention, treatment, history or a story does not count. Patterns are weak
evidence, so the judge is asked as well where possible.
"""

import polars as pl

_ASKS = (
    r"(?:how (?:do|can|could|should|would|might) (?:i|you|we|one|someone|a person)|how to|(?:best|easiest|safest"
    r"|quickest) ways? to|where (?:can|do) i"
    r"|(?:steps?|instructions?|guide|tutorial|recipe|directions?)[\w, -]{0,20} (?:to|for|on)|(?:help|teach|show|tell|let) me(?: how)?"
    r"|i (?:want|need|plan|intend|am going|'d like|would like) to|(?:^|[.!?:;]\s)\W*(?:write|create|make|build|give|design"
    r"|develop|plan|produce|synthesi[sz]e))"
)
_MAKE = (
    r"(?:make|build|construct|assemble|create|produce|3d[- ]print|cook|brew|grow|synthesi[sz]e|manufacture|extract|prepare"
    r"|weaponi[sz]e|detonate|set off)"
)
_NEAR = r"[^.?!\n]{0,60}?"
_WHO = r"(?:someone|somebody|a person|people|my \w+|her|him|them|a man|a woman|a child|children|kids|students|the \w+ (?:teacher|guard|officer))"
_ASKS_ZH = r"(?:怎么|怎样|如何|教我|告诉我|详细说明|详细介绍|请说明|给我|写出|步骤|方法|哪里(?:能|可以)|写一|帮我|什么)"
_NEAR_ZH = r"[^。？！\n]{0,25}?"

_HARMS = (
    # Weapons and explosives.
    rf"{_ASKS}\b{_NEAR}\b{_MAKE}\b{_NEAR}\b(?:pipe bombs?|nail bombs?|bombs?|explosives?|grenades?|molotov|napalm"
    rf"|ghost guns?|untraceable (?:\w+ )?guns?"
    r"|nerve agents?|sarin|anthrax|chemical weapons?|biological weapons?|dirty bombs?|silencers?)\b",
    r"\bmix\b[^.?!\n]{0,40}\bammonium nitrate\b[^.?!\n]{0,40}\b(?:fuel|diesel)",
    # Poison.
    rf"{_ASKS}\b{_NEAR}\b(?:{_MAKE}|obtain|buy|use)\b{_NEAR}\b(?:ricin|cyanide|polonium|botulinum)\b",
    rf"{_ASKS}\b{_NEAR}\bpoison {_WHO}\b",
    rf"\b(?:what|which) poison\b{_NEAR}\b(?:can i|could i|should i|kills?|undetect\w+|without)\b",
    # Minors.
    r"\b(?:erotic|erotica|sexual|sexually explicit|pornographic|porn|nude|naked)\b[^.?!\n]{0,60}\b(?:(?:[1-9]|1[0-7]|six"
    r"|seven|eight|nine|ten|eleven"
    r"|twelve|thirteen|fourteen|fifteen|sixteen|seventeen)[- ]year[- ]olds?|child|children|minors?|underage|little (?:girl"
    r"|boy)|schoolgirls?|toddlers?)\b",
    # Self-harm.
    rf"(?:{_ASKS}|how many|how much|what is the|which)\b{_NEAR}\b(?:kill myself|end my (?:own )?life|commit suicide"
    rf"|hang myself|cut myself|overdose on)\b",
    # Accounts and malware.
    rf"{_ASKS}\b{_NEAR}\b(?:hack|break|get) into\b{_NEAR}\b(?:accounts?|phones?|instagram|facebook|e?-?mails?|computers?"
    rf"|wi-?fi|whatsapp|snapchat)\b",
    rf"{_ASKS}\b{_NEAR}\b(?:ransomware|keyloggers?|malware|computer virus|computer worm|botnets?|spyware|rootkits?|trojans?)\b",
    # Hard drugs.
    rf"{_ASKS}\b{_NEAR}\b{_MAKE}\b{_NEAR}\b(?:methamphetamine|crystal meth|meth|heroin|crack cocaine|cocaine|fentanyl|mdma|lsd|ghb)\b",
    # Violence.
    rf"{_ASKS}\b{_NEAR}\b(?:kill|murder|stab|strangle|kidnap|torture|rape|maim) {_WHO}\b",
    rf"{_ASKS}\b{_NEAR}\b(?:get away with murder|dispose of a (?:dead )?body|hide a (?:dead )?body|mass shooting"
    rf"|traffic (?:women|children|people))\b",
    rf"{_ASKS}\b{_NEAR}\b(?:buy|sell|smuggle)\b{_NEAR}\b(?:kidnapped|trafficked|enslaved)\b|\bbuy a (?:kidnapped|slave)\b",
    rf"(?:{_ASKS}|\bwhich\b)\b{_NEAR}\b(?:gas|poison|drug|burn|blow up|shoot|attack|hurt|bomb|beat up"
    rf"|run over) {_NEAR}\b(?:people|neighbou?rs?|crowds?|passengers"
    r"|classmates|coworkers|colleagues|strangers|my (?:wife|husband|boss|ex|girlfriend|boyfriend|teacher|sister|brother|mother|father))\b",
    rf"{_ASKS}\b{_NEAR}\b(?:drop|place|plant|hide|throw|carry|smuggle|attach)\b{_NEAR}\b(?:explosives?|bombs?|grenades?)\b",
    rf"{_ASKS}\b{_NEAR}\b(?:roofies|rohypnol|date[- ]rape drugs?|knock[- ]?out (?:drops|drugs?))\b",
    rf"(?:{_ASKS}|how (?:can|could|do|does) )\b{_NEAR}\b(?:stop eating|starve|purge)\b{_NEAR}\b(?:hide|hiding|secretly"
    rf"|without (?:my|her|his|their) (?:parents|mother|mum|mom|family))\b",
    # Theft and fraud.
    rf"{_ASKS}\b{_NEAR}\b(?:break into|rob|burgle)\b{_NEAR}\b(?:house|home|flat|apartment|car|shop|store|bank|office)\b",
    rf"{_ASKS}\b{_NEAR}\bstolen (?:passwords?|credentials|identit(?:y|ies)|logins?)\b",
    rf"{_ASKS}\b{_NEAR}\b(?:clone|cash out|use|buy|steal)\b{_NEAR}\b(?:stolen|cloned|other people's) (?:credit|debit|bank) cards?\b",
    rf"{_ASKS}\b{_NEAR}\b(?:phishing|scam) (?:e-?mails?|messages?|sites?|pages?|calls?)\b",
    rf"{_ASKS}\b{_NEAR}\b(?:counterfeit money|counterfeit bills|launder money|fake passports?|steal (?:someone's|an?) identity)\b",
    # The patterns above in Chinese.
    rf"{_ASKS_ZH}{_NEAR_ZH}(?:制作|制造|自制|做|造|引爆|组装){_NEAR_ZH}(?:炸弹|炸药|手榴弹|燃烧瓶|土枪|枪支|毒气|生化武器|沙林)",
    rf"(?:制作|制造|自制|引爆){_NEAR_ZH}(?:炸弹|炸药|燃烧瓶|枪支|毒气|生化武器){_NEAR_ZH}(?:步骤|方法|教程|配方)",
    rf"(?:下什么毒|{_ASKS_ZH}{_NEAR_ZH}(?:下毒|投毒|毒死|毒杀)|用什么毒药)",
    r"(?:色情|性行为|性爱|裸体|裸照|情色)[^。？！\n]{0,20}(?:女童|男童|儿童|幼女|未成年|小学生|(?:[一二三四五六七八九]|十[一二三四五六七]?|\d|1[0-7])岁)"
    r"|(?:女童|男童|儿童|幼女|未成年|小学生|(?:[一二三四五六七八九]|十[一二三四五六七]?|\d|1[0-7])岁)[^。？！\n]{0,12}(?:性行为|性爱|色情|裸体|裸照|情色)",
    rf"(?:{_ASKS_ZH}|多少|哪种){_NEAR_ZH}(?:自杀|自残|割腕|上吊|结束自己的生命)(?:不|才|最|而|$|[？?。])|(?:无痛|没有痛苦|不痛苦)[^。？！\n]{{0,6}}自杀",
    rf"{_ASKS_ZH}{_NEAR_ZH}(?:盗取|盗走|破解|黑进|入侵|攻破){_NEAR_ZH}(?:账号|帐号|密码|手机|微信|邮箱|电脑|网站|服务器)",
    rf"{_ASKS_ZH}{_NEAR_ZH}(?:勒索病毒|勒索软件|木马|键盘记录器|电脑病毒|恶意软件|间谍软件)",
    rf"{_ASKS_ZH}{_NEAR_ZH}(?:制造|制作|合成|提炼|制){_NEAR_ZH}(?:冰毒|海洛因|可卡因|摇头丸|芬太尼|毒品)",
    rf"{_ASKS_ZH}{_NEAR_ZH}(?:杀人|杀死(?:他|她|我的?|同事|老师|同学|妻子|丈夫|老板|邻居)|绑架|谋杀|砍人|捅人|强奸|迷奸|处理尸体|藏尸)",
    rf"{_ASKS_ZH}{_NEAR_ZH}(?:熏死|毒死|害死|弄死|打死|捅死|炸死|烧死)[^。？！\n]{{0,6}}(?:人|他|她|邻居|同事|老师|同学|老板)|(?:把|让)[^。？！\n]{{1,8}}(?:熏死|毒死|害死|弄死|捅死)",
    rf"{_ASKS_ZH}{_NEAR_ZH}(?:迷药|迷魂药|听话水|迷奸药)",
    rf"{_ASKS_ZH}{_NEAR_ZH}(?:别人|他人|盗来|偷来)的(?:密码|账号|帐号|身份证|银行卡)",
    rf"{_ASKS_ZH}{_NEAR_ZH}(?:诈骗短信|诈骗话术|钓鱼邮件|钓鱼网站|钓鱼短信|假币|洗钱|盗刷|假护照|假身份证)",
)
_INNOCENT = (
    r"(?i)\b(?:prevent\w*|protect\w*|detect|detecting|recogni[sz]\w*|defus\w*|dispos\w* robot|remov\w*|treat\w*|antidote"
    r"|survive\w*|against|stop (?:him|her|them|someone)"
    r"|history|historians?|novel|story|stories|fiction\w*|films?|movies?|plays?|characters?|detectives?|game|minecraft"
    r"|museum|vaccines?|warn\w*|report\w*"
    r"|photo\w*|camera|portrait|training|awareness|quiz)\b"
    r"|预防|防止|防范|识别|辨别|清除|保护|举报|拒绝|治疗|抢救|解毒|历史|小说|故事|电影|侦探|剧本|游戏|危害|劝|安慰|求助|宣传|海报"
)
_ALWAYS = r"(?i)erotic|sexual|porn|nude|naked|色情|性行为|性爱|裸|情色"
"""Subjects that are harmful even in a story."""


_TRIGGER = (
    "(?i)bomb|explosive|grenade|molotov|napalm|gun|nerve agent|sarin|anthrax|weapon|"
    "silencer|ammonium nitrate|ricin|cyanide|polonium|botulinum|poison|erotic|"
    "sexual|porn|nude|naked|myself|my life|my own life|suicide|overdose|hack|break|"
    "get into|ransomware|keylogger|malware|virus|worm|botnet|spyware|rootkit|"
    "trojan|meth|heroin|cocaine|fentanyl|mdma|lsd|ghb|kill|murder|stab|strangle|kidnap|"
    "torture|rape|maim|body|shoot|traffic|slave|stolen|cloned|"
    "other people's|phishing|scam|counterfeit|launder|passport|identity|gas|drug|burn|"
    "blow up|attack|hurt|beat|run over|roofies|rohypnol|knock|eating|"
    "starve|purge|rob|burgle|炸|弹|瓶|枪|毒|沙林|杀|自残|割腕|上吊|自己的|色情|性行为|性爱|裸|账号|帐号|密码|手机|微信|邮箱|电脑|网站|服务器|木马|键盘|软件|"
    "海洛因|可卡因|摇头丸|芬太尼|绑架|砍|捅|奸|尸|死|迷|听话水|诈骗|钓鱼|假币|洗钱|盗刷|护照|身份证|银行卡|情色"
)
"""Words of which every pattern needs at least one. Most texts have none and skip the patterns."""


def find_harm(text: pl.Expr) -> pl.Expr:
    """Return the words of a text that ask for serious harm or explain it; null if there are none, or the text is null.

    Covers weapons and explosives, poison, sexual content with minors, methods of self-harm, account break-ins and
    malware, hard drugs, violence against people, theft and fraud.
    """
    return text.map_batches(_find_phrases, return_dtype=pl.String, is_elementwise=True)


def _find_phrases(texts: pl.Series) -> pl.Series:
    text = pl.col("text")
    phrases = [text.str.extract(f"(?im)({pattern}[^.?!。？！\n]{{0,80}})", 1) for pattern in _HARMS]
    guilty = [pl.when(~words.str.contains(_INNOCENT) | words.str.contains(_ALWAYS)).then(words) for words in phrases]
    rows = pl.DataFrame({"text": texts}, schema={"text": pl.String}).with_row_index("row")
    suspect = rows.filter(text.str.contains(_TRIGGER))
    if suspect.is_empty():  # compiling the patterns takes a sixth of a second
        return pl.Series(texts.name, [None] * len(texts), pl.String)
    suspect = suspect.select("row", words=pl.coalesce(guilty))
    return rows.join(suspect, on="row", how="left", maintain_order="left")["words"].alias(texts.name)
