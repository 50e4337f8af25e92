"""Makes the weights of `infinity_assets/scoring/domain.npz`.

    python -m infinity_assets_tests.benchmarks.train_domain SOURCES

Trained on sources whose licence permits it (MIT, Apache-2.0, CC0, BSD, CC BY-SA), with labels by source, by file or by task name, on rows of one
of them whose first words leave no doubt, and on requests made of the phrases below, which give Chinese what the sources do not. The weights are of
hashes: no text is in them. Rows that were labelled by hand (domain_labels.csv) are left out. Same sources, same weights.
"""

import argparse
import itertools
from pathlib import Path

import numpy as np
import polars as pl
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from infinity_assets.rows.schema import DOMAINS
from infinity_assets.scoring import domain
from infinity_assets_tests.benchmarks.language_and_domain import labelled_places, rows_of

_PER_LABEL = 3000
"""Rows of a source and a domain, at most."""
_MADE_WEIGHT = 1.0
"""What a made request counts against a real one."""
_STRENGTH = 2.0
"""Inverse of the regularisation."""

_CHAT_TASKS = r"common_gen|paraphrase|generate_review|generate_story|spice_up|build_story|write_an_article|write_its_sentence|Write_a_dialogue|expand_reverse|reverse_writing"
_TOOL = (
    pl.when(pl.col("prompt").str.contains(r"(?s)toolformer access:\s*(?:wolfram|calculator)")).then(pl.lit("math"))
    .when(pl.col("prompt").str.contains(r"(?s)toolformer access:\s*(?:shell|terminal)")).then(pl.lit("code"))
    .when(pl.col("prompt").str.contains(r"(?s)toolformer access:\s*(?:news|search|wikipedia|wikisearch|weather)")).then(pl.lit("knowledge"))
)  # fmt: skip
LABELS: dict[str, pl.Expr] = {
    "gsm8k_train": pl.lit("math"),
    "smile_zh_multiturn": pl.lit("chat"),
    "sgd_train": pl.lit("chat"),
    "xquad_contexts": pl.when(pl.col("file").str.contains("xquad.en").not_()).then(pl.lit("knowledge")),
    "text_corpora": pl.when(pl.col("prompt").str.len_chars() > 40).then(pl.lit("knowledge")),
    "t0_train_50k": pl.when(pl.col("file").str.contains(_CHAT_TASKS)).then(pl.lit("chat")).otherwise(pl.lit("knowledge")),
    "gpteacher": pl.when(pl.col("file").str.contains("codegen")).then(pl.lit("code")).when(pl.col("file").str.contains("roleplay.*json")).then(pl.lit("chat"))
    .when(pl.col("file").str.contains("dedupe-only")).then(_TOOL),
    "chatterbot_corpus": pl.when(pl.col("file").str.contains("greeting|botprofile|perfilbot|emotion|emocion|conversation|humor|gossip|psycholog|psicolog|compliment|ai.yml|IA.yml|profile")).then(pl.lit("chat"))
    .when(pl.col("file").str.contains("history|science|trivia|literature")).then(pl.lit("knowledge")),
}  # fmt: skip
"""Sources to learn from: the label of a row, null to pass it over."""

_CODE_WORDS = r"(?i)\b(?:python|java|javascript|c\+\+|sql|html|css|regex|bash|algorithm|recursive|compile|php|linked list|code snippet|source code)\b|```"
_INTENT = (
    pl.when(pl.col("prompt").str.contains(_CODE_WORDS)).then(pl.lit("code"))
    .when(pl.col("prompt").str.contains(r"(?i)^\W*(?:calculate|compute|solve|evaluate the expression|find the (?:sum|product|area|perimeter|volume|average|mean|median|square root|value of x))\b") & pl.col("prompt").str.contains(r"\d")).then(pl.lit("math"))
    .when(pl.col("prompt").str.contains(r"(?i)^\W*(?:write (?:a|an|me|some)|compose|create a (?:story|poem|song|dialog|slogan|title|joke|character|script|post|tweet|speech)|generate a (?:story|poem|song|dialog|slogan|title|joke|tweet|speech|conversation|creative)|come up with|suggest|recommend|brainstorm|imagine|pretend|rewrite|rephrase|paraphrase|edit|translate|draft|invent|propose|give (?:me )?(?:some )?(?:advice|tips|ideas)|tell me a (?:joke|story)|tell me about (?:yourself|a time|your)|(?:how do|do|are|what do) you (?:like|think|feel)|make (?:a|the sentence|this sentence)|convert the (?:sentence|text)|correct|improve|you are a|act as|design a|i (?:want|need|would like|am|feel))\b")).then(pl.lit("chat"))
    .when(pl.col("prompt").str.contains(r"(?i)^\W*(?:what (?:is|are|was|were|does|did)|who|when|where|which|why|explain|describe the (?:process|difference|function|role|structure|history|concept|effects?|causes?)|define|summari[sz]e|classify|categori[sz]e|identify|determine|name|list (?:the|three|five|four|two|all|some|10|5|3)|compare|detect|extract|find the (?:capital|name|author|main|subject|verb|noun)|is (?:it|the|this)|does|given (?:a|an|the) (?:sentence|paragraph|text|passage|article|review|question|word)|read|based on|how (?:does|did|is|are|was|were))\b") & pl.col("prompt").str.contains(r"(?i)\b(?:you|your|my|i)\b").not_()).then(pl.lit("knowledge"))
)  # fmt: skip
LABELS["self_instruct"] = pl.when(pl.col("file").str.contains("self_instruct_5k|seed_tasks")).then(_INTENT)

_TOPICS_EN = (
    "photosynthesis|the French Revolution|inflation|machine learning|a good night's sleep|the water cycle|democracy|black holes|vaccines|climate change|coffee|"
    "the immune system|marketing|bicycles|the Roman Empire|a balanced diet|yoga|public speaking|solar panels|dogs|jazz music|the stock market|time management|"
    "the human heart|a trip to Japan|remote work|recycling|a small business|friendship|an old lighthouse|autumn|a robot|my grandmother|a job interview|the moon|"
    "electric cars|the periodic table|social media|Shakespeare|volcanoes|an online course|mental health|a new phone|chess|gravity|a wedding|the ocean|"
    "artificial intelligence|school uniforms|customer service|a leather jacket|the Great Wall|bread|butterflies|a museum|the Amazon|antibiotics|tax law|"
    "kitchen knives|a garden|globalization|football|a bank account|DNA|the Cold War|hiking boots|poverty|a science fair|painting|the brain|a dragon|holidays|"
    "the weather|fashion|a broken window|teamwork|renewable energy|the internet|children|a city park|wine|a famous novel|insurance|elections|a cat|the violin"
).split("|")
_TOPICS_ZH = (
    "光合作用|法国大革命|通货膨胀|机器学习|良好的睡眠|水循环|民主制度|黑洞|疫苗|气候变化|咖啡|免疫系统|市场营销|自行车|罗马帝国|均衡饮食|瑜伽|公开演讲|太阳能|狗|"
    "爵士乐|股票市场|时间管理|人的心脏|去日本的旅行|远程办公|垃圾分类|小公司|友谊|一座旧灯塔|秋天|机器人|外婆|面试|月亮|电动汽车|元素周期表|社交媒体|红楼梦|火山|"
    "网络课程|心理健康|新手机|围棋|重力|婚礼|大海|人工智能|校服|客户服务|唐朝|长城|春节|中医|高铁|高血压|量子力学|合同法|企业文化|供应链|皮夹克|面包|蝴蝶|博物馆|"
    "抗生素|税法|菜刀|花园|全球化|足球|银行账户|基因|冷战|登山鞋|贫困|科学展|绘画|大脑|龙|假期|天气|时尚|团队合作|互联网|孩子|公园|葡萄酒|小说|保险|选举|猫|小提琴"
).split("|")
_PHRASES: dict[str, tuple[str, str]] = {
    "knowledge": (
        "What is {}?|Explain {}.|Explain how {} works.|Why is {} important?|Describe the main features of {}.|Name three facts about {}.|List the advantages and disadvantages of {}.|"
        "Compare {} and {}.|What is the difference between {} and {}?|Define {}.|How does {} affect people?|When did {} begin?|Who first studied {}?|Where can {} be found?|Which of these is related to {}?|"
        "Summarize the following text about {}.|What are the causes of {}?|Give an example of {}.|Classify the following items: {}, {}, {}.|Identify the main idea of this passage on {}.|Is it true that {} is older than {}?|"
        "What are the effects of {} on society?|Outline the history of {}.|List five types of {}.|What does the expression \"{}\" mean?|Provide an overview of {}.|Tell me what you know about {}.|"
        "Analyze the relationship between {} and {}.|Discuss the impact of {}.|How is {} measured?|State one reason why {} matters.|Give a synonym for the word in this sentence: {}.|Determine whether this review of {} is positive or negative.|"
        "Extract the keywords from this paragraph about {}.|How do you clean {}?|What are the steps to prepare {}?|Explain why {} is popular.|Describe how {} can be used.|Find the capital of the country that is known for {}.|Identify the parts of speech in: {} is here.|Name a famous person connected with {}.|Name four kinds of {}.|Summarize {} in two sentences.|Contrast {} with {}.|Outline the pros and cons of {}.|What kind of training does {} require?|How can I repair {}?|Provide instructions for using {}.|Make a list of words that rhyme with the name of {}.|What year was {} invented?|Which sentence about {} makes sense? Options: - A - B|Is the following claim true? {} comes from {}. Options: - yes - no|Answer the question step by step: would {} survive without {}?|Sort these into groups: {}, {}, {}.|Read the passage about {} and answer the question.|What is the name of the author who wrote about {}?|Categorize this sentence as positive or negative: I love {}.|Arrange these events in order: {}, {}.|Evaluate this argument: {} is better than {}.|Can {} cause {}?|Did {} exist before {}?|Would {} be allowed in {}?|Are {} dangerous?|Does {} contain {}? Give a detailed answer.|Was {} known in ancient Greece?|Could {} replace {}?|Is there a link between {} and {}?|What are some examples of {}?|Describe the stages of {}.|What is the most common cause of {}?|How many people have {}?|Provide a definition and an example of {}.|Describe some recent trends in {}.|List the benefits of {}.|Name something that is related to {}.|Explicate the concept of {}.|What can {} do that {} cannot? Options: - a - b - c|Which of the following best describes {}? (A) {} (B) {} (C) {}|Find the error in this fact about {}.|Locate {} on the map.|In what country is {} most popular?|What does it mean to have {}?|Count the words in this sentence: {} is here.|Rank {}, {} and {} by size.|Give two reasons for {}.|Describe what happened during {}.|What is known about {}?",
        "什么是{}？|{}是什么？|解释{}。|请解释一下{}的原理|为什么{}很重要？|描述{}的主要特点。|列出关于{}的三个事实。|列举{}的优点和缺点。|比较{}和{}。|{}和{}有什么区别？|给{}下定义。|{}对社会有什么影响？|{}是什么时候开始的？|谁最早研究{}？|"
        "在哪里可以找到{}？|总结以下关于{}的文章。|{}的原因有哪些？|举一个{}的例子。|将下列项目分类：{}、{}、{}。|找出这段关于{}的文字的主旨。|{}比{}更古老吗？|概述{}的历史。|列出五种{}。|“{}”是什么意思？|介绍一下{}。|分析{}和{}之间的关系。|讨论{}的影响。|"
        "如何测量{}？|判断这条关于{}的评论是正面还是负面。|从这段关于{}的文字中提取关键词。|{}的作用是什么？|{}有哪些类型？|根据文章回答：{}发生在什么时候？|说明{}的步骤。|确定与{}有关的两个因素。|{}的定义是什么|{}由哪些部分组成？|名词解释：{}|{}最著名的代表是谁？|识别句子中与{}有关的名词。|以下哪一项属于{}？|写出{}和{}的两个不同之处。|找出文中提到{}的句子。|{}的治疗方法有哪些？|分析这篇关于{}的故事的寓意。|选择正确答案：{}属于 A. {} B. {}|如何制作{}？|怎样保养{}？|{}与{}有何不同？|给出三个{}的特征。|创建一个{}的时间表。|简述{}的发展过程。|阅读短文，回答{}的问题。|写一段文字总结{}的历史。|{}会导致{}吗？|{}和{}哪个更大？|{}是否含有{}？|至少列出五个与{}有关的国家。|下面关于{}的句子是疑问句还是陈述句？|数一数这句关于{}的话有多少个词。|描述{}和{}的区别。|{}有什么好处？|说出一种{}。|{}的主要成分是什么？|给定概念{}，解释它与{}的关系。|哪个国家以{}闻名？|关于{}，下列说法正确的是：a）{} b）{} c）以上都是|{}为什么会发生？|提供{}的一个例子。",
    ),
    "chat": (
        "Write a poem about {}.|Write a short story about {}.|Compose an email about {}.|Create a slogan for {}.|Come up with five ideas for {}.|Suggest a gift for someone who loves {}.|Rewrite this sentence about {} to sound more formal.|"
        "Translate this sentence about {} into French.|Tell me a joke about {}.|Pretend you are {} and talk to me.|Imagine you are an expert in {}. What would you tell me?|Give me some advice on {}.|I am worried about {}, what should I do?|"
        "Do you like {}?|What do you think about {}?|Generate a dialogue between two people about {}.|Write a blog post about {}.|Draft a letter to my landlord about {}.|Create a fictional character who loves {}.|Write a song about {}.|"
        "Brainstorm names for a company that sells {}.|Edit the following sentence: {} are good for you.|Make this paragraph on {} more concise.|Write a tweet about {}.|Describe a scene with {} in vivid words.|Suggest some activities related to {}.|"
        "Plan a party around {}.|Write a speech about {}.|Recommend me a book on {}.|Give me tips for {}.|Hi, can we talk about {}?|I feel sad because of {}.|Thanks, you helped me with {}!|Continue the story: once there was {}.|Write a product description for {}.|"
        "Design a poster for {}.|Write a persuasive essay about {}.|Create a weekly plan for {}.|Correct the grammar: {} be very nice.|Write a haiku about {}.|Paraphrase: {} is wonderful.|Generate a headline for an article about {}.|Act as a coach and help me with {}.|My friend hates {}, how can I cheer them up?|Make up a riddle about {}.|Add one more paragraph to this text about {}.|What would you do if you had {}?|Which phone should I buy for {}?|Are you {}? Have a nice day!|Help me choose a restaurant for {}.|Think of a motivational quote about {}.|Tell me about a time when you enjoyed {}.|Improve this headline: {} is coming.|Give me a list of fun things to do with {}.|Make a list of habits for {}.|What is the best way to enjoy {}? I am a beginner.|Write a review of {}.|My laptop is not working since {}.|Change the tone of this text about {}.|Form a sentence with these words: {}, {}.|Generate a metaphor for {}.|Suggest a solution to the problem of {}.|Suggest a title for a story about {}.|Change the sentence to the plural: {} is here.|Rewrite the sentence in the future tense: I see {}.|Rewrite the text and correct the spelling errors: {} ar grate.|Write a to-do list for {}.|Create a to-do list for {}.|Give three techniques to get better at {}.|Come up with fresh ideas for {}.|Develop a plan for {}.|Propose a policy for {}.|You are so {}.|My printer stopped because of {}.|Take the role of an explorer and describe {}.|I had {} yesterday and it was great.|Don't talk about {}.|Why are you like {}?|Can you help me plan {}?|Construct a dialogue about {}.|Fill this form letter about {}.|Create a list of questions to ask about {}.|Write an opinion piece on {}.|Make the following sentence about {} more interesting.|Simplify this sentence: {} is an arduous matter.|Insert a proper adjective: {} is ___.",
        "写一首关于{}的诗。|写一个关于{}的短故事。|写一封关于{}的邮件。|为{}创作一个口号。|想出五个关于{}的点子。|给喜欢{}的朋友推荐一份礼物。|把这句关于{}的话改写得更正式。|把这句关于{}的话翻译成英文。|讲一个关于{}的笑话。|假装你是{}，和我聊天。|"
        "请你扮演一位{}专家。|给我一些关于{}的建议。|我很担心{}，我该怎么办？|你喜欢{}吗？|你怎么看{}？|生成两个人关于{}的对话。|写一篇关于{}的博客文章。|起草一封关于{}的信。|创造一个热爱{}的虚构人物。|写一首关于{}的歌。|为销售{}的公司起名字。|"
        "编辑以下句子：{}很好。|让这段关于{}的文字更简洁。|写一条关于{}的微博。|用生动的语言描写{}。|推荐一些与{}有关的活动。|围绕{}策划一次聚会。|写一篇关于{}的演讲稿。|给我推荐一本关于{}的书。|提供一些{}的小窍门。|你好，我们可以聊聊{}吗？|我因为{}很难过。|谢谢你帮我解决{}的问题！|"
        "续写故事：从前有{}。|为{}写一段产品描述。|设计一张关于{}的海报。|写一篇关于{}的议论文。|制定一份{}的周计划。|改正句子的语法错误：{}是很好的的。|写一份关于{}的心得体会。|写一份{}的申请书。|转述这句话：{}真美好。|为一篇关于{}的文章拟一个标题。|以第一人称写一段关于{}的日记。|我总是和家人因为{}吵架，怎么办？|集思广益，为{}提出三个方案。|以问题的形式改写：{}很重要。|删除句子中关于{}的词。|写下你对{}的看法。|提供几个适合{}的创意。|帮我制定{}的计划|我最近因为{}很焦虑，睡不好。|为{}写一句广告语。|造一个带有“{}”的句子。|生成一个关于{}的比喻。|把这句话改成将来时：我看{}。|为了清楚起见，重组句子：{}我喜欢。|建议一个关于{}的短篇小说标题。|我该如何克服对{}的恐惧？|为{}创造一个品牌形象。|列一个关于{}的待办清单。|你害怕{}吗？|我想让你成为{}专家，带着创意回答。|给我一个关于{}的故事|{}真讨厌。|你为什么{}？",
    ),
    "math": (
        "Calculate {a} + {b}.|What is {a} * {b}?|Solve for x: {a}x + {b} = {c}.|Find the area of a circle with radius {a}.|What is {a}% of {b}?|A shop sells {a} apples a day. How many does it sell in {b} days?|Simplify ({a}x + {b}) / {c}.|"
        "What is the derivative of x^{a} + {b}x?|Find the average of {a}, {b} and {c}.|Convert {a} miles to kilometers.|What is the probability of rolling a {a} twice?|Prove that the sum of two even numbers is even.|Compute the square root of {a}.|"
        "If a train travels {a} km in {b} hours, what is its speed?|Evaluate the integral of {a}x from 0 to {b}.|Find the perimeter of a rectangle with sides {a} and {b}.|Round {a}.{b} to the nearest tenth.|What is the next number in the sequence {a}, {b}, {c}?|"
        "Find the greatest common divisor of {a} and {b}.|Sort the numbers {a}, {b}, {c} in ascending order.|{a} - {b} = ?|Find the median of {a}, {b}, {c}.|Tom has {a} marbles and gives away {b}. How many are left?|What is the value of {a}/{b} as a decimal?|Let $f(x)=x^{a}$. Find $f'(x)$.|Determine the volume of a cube with side {a} cm.|Factor x^2 + {a}x + {b}.|Calculate the total cost of {a} items at ${b} each.|How much does {a} litres of milk cost if one litre costs {b}? Options: (A) {a} (B) {b} (C) {c}|A can do a piece of work in {a} days and B in {b} days. In how many days together? A) {a} B) {b} C) {c} D) none|The ratio of boys to girls is {a} : {b}. How many girls are there if there are {c} pupils?|At what rate of interest does a sum of {a} become {b} in {c} years?|Calculate the standard deviation of {a}, {b}, {c}.|Analyze these test scores: {a}, {b}, {c}.|Is {a} a multiple of {b}?|Given a list of integers, say whether the sum is even: {a}, {b}, {c}.|Sort this list: {a}, {b}, {c}.|The difference of two numbers is {a} and their sum is {b}. Find the numbers.|How many combinations of {a} out of {b} are there?|Find the surface area of a sphere of radius {a} with wolfram.|Solve the equation and give x.|Estimate the error of the product {a} * {b}.|If the price falls by {a}% and then rises by {b}%, what is the change?|A man walks {a} miles north and then {b} miles east. How far is he from the start?",
        "计算{a}加{b}。|{a}乘以{b}等于多少？|解方程{a}x+{b}={c}。|求半径为{a}的圆的面积。|{b}的百分之{a}是多少？|商店每天卖{a}个苹果，{b}天卖多少个？|化简({a}x+{b})/{c}。|求x的{a}次方的导数。|求{a}、{b}和{c}的平均数。|"
        "把{a}公里换算成米。|掷骰子两次都得到{a}的概率是多少？|证明两个偶数的和是偶数。|计算{a}的平方根。|火车{b}小时行驶{a}公里，速度是多少？|求长{a}宽{b}的长方形的周长。|数列{a}，{b}，{c}的下一项是什么？|求{a}和{b}的最大公约数。|将{a}，{b}，{c}按升序排列。|{a}-{b}=|{a}+{b}=|{a}×{b}=|"
        "小明有{a}个球，送给小红{b}个，还剩多少个？|一个正方体的棱长是{a}厘米，它的体积是多少？|计算总价：{a}件商品，每件{b}元。|求函数f(x)=x^{a}的积分。|三角形的底是{a}，高是{b}，面积是多少？|某工厂有{a}名工人，其中女工占{b}%，男工有多少人？|求方程的根：x^2+{a}x+{b}=0。|计算器：{a}的阶乘是多少？|列一个含有两个变量的方程，使其和为{a}。|甲乙两地相距{a}千米，一辆车每小时行{b}千米，几小时到达？|把{a}写成分数。|找出{a}、{b}、{c}的中位数。|银行年利率为{a}%，存{b}元，{c}年后有多少元？|计算税额：收入{b}元，税率{a}%。",
    ),
    "code": (
        "Write a Python function that {t}.|Write a program in Java to {t}.|How do I {t} in JavaScript?|Fix the bug in this code that should {t}.|Write a SQL query to {t}.|Explain what this code does: def f(x): return x|Create an HTML page with a {u}.|Write a regular expression that matches a {u}.|"
        "Write a bash command to {t}.|What is a {u} in programming?|Refactor this function that {t}.|Implement an algorithm to {t}.|Write unit tests for a class that {t}.|Which CSS property changes the {u}?|Convert this Python script to C++.|How do I use git to {t}?|Design a database schema for a {u}.|Why does my code throw an error when I {t}?|Optimize this loop: for i in range(n)|Write a shell script to {t}.|What do you think of this code snippet?|What is the difference between an array and a {u}?|How do I list files in a Linux terminal to {t}?|Explain how recursion helps to {t}.|Edit this class so that it can {t}.|Compare React and Angular for a {u}.",
        "写一个Python函数，{z}。|用Java编写程序{z}。|如何在JavaScript中{z}？|修复这段代码中的错误，它应该{z}。|写一个SQL查询来{z}。|解释这段代码的作用：def f(x): return x|创建一个带有{y}的HTML页面。|写一个匹配{y}的正则表达式。|用shell命令{z}。|编程中的{y}是什么？|重构这个函数。|实现一个算法来{z}。|"
        "为这个类编写单元测试。|哪个CSS属性可以改变{y}？|把这段Python代码转换成C++。|如何用git{z}？|为{y}设计数据库表。|为什么我的代码在{z}时报错？|怎样在程序里使用变量和循环？|Scratch 中的{y}积木有什么作用？|如何调用这个API接口来{z}？|block ()的输入是什么？|这个模块有哪些函数和参数？|怎样让角色移动并{z}？|Scratch编辑器里的{y}按钮在哪里？|为什么要克隆角色？|“{y} ()”积木的输入是什么？|Hat Block有哪些？|这个扩展里有哪些Reporter blocks？|如何制作一个平台游戏？|set () to () 属于哪个类别的积木？|{y}可以用什么脚本代替？|micro:bit的{y}怎么用？|如何进行自动化测试和API测试？|什么是面向对象编程？|数据库的{y}有什么用？",
    ),
}  # fmt: skip
_THINGS = {
    "t": "reverse a string|sort a list|read a csv file|count the words in a file|find the largest number|remove duplicates|connect to a server|merge two branches|parse json|check whether a number is prime|delete old files|join two tables".split("|"),
    "u": "linked list|phone number|button|pointer|hash table|login form|date|variable|font|user|stack|table".split("|"),
    "z": "反转字符串|对列表排序|读取csv文件|统计文件中的单词|找出最大的数|删除重复项|连接服务器|合并分支|解析json|判断素数|删除旧文件|显示文本".split("|"),
    "y": "链表|电话号码|按钮|指针|哈希表|登录表单|日期|变量|字体|用户|扩展|传感器".split("|"),
}  # fmt: skip


def made_requests(generator: np.random.Generator) -> pl.DataFrame:
    """Every phrase with several topics, without answers."""
    rows = []
    for label, languages in _PHRASES.items():
        for topics, phrases in zip((_TOPICS_EN, _TOPICS_ZH), languages, strict=True):
            for phrase, _ in itertools.product(phrases.split("|"), range(25)):
                filled = phrase
                while "{}" in filled:
                    filled = filled.replace("{}", str(generator.choice(topics)), 1)
                for mark, things in _THINGS.items():
                    filled = filled.replace(f"{{{mark}}}", str(generator.choice(things)))
                for mark in "abc":
                    filled = filled.replace(f"{{{mark}}}", str(generator.integers(2, 300)))
                rows.append({"prompt": filled, "answer": None, "label": label, "source": "made"})
    return pl.DataFrame(rows, schema={"prompt": pl.String, "answer": pl.String, "label": pl.String, "source": pl.String}).unique(maintain_order=True)


def training_rows(sources: Path) -> pl.DataFrame:
    """Columns source, prompt, answer, label."""
    parts = []
    for at, (name, label) in enumerate(LABELS.items()):
        rows = rows_of(sources / name).join(labelled_places(), on=["source", "file", "position"], how="anti")
        rows = rows.with_columns(label.alias("label")).drop_nulls("label").sort("file", "position").sample(fraction=1, shuffle=True, seed=at)
        parts.append(rows.group_by("label", maintain_order=True).head(_PER_LABEL).select("source", "prompt", "answer", "label"))
    return pl.concat([*parts, made_requests(np.random.default_rng(0)).select("source", "prompt", "answer", "label")])


def train(rows: pl.DataFrame) -> dict[str, np.ndarray]:
    """The arrays of domain.npz."""
    # Answers are left out of half of the rows: many rows have none, and where there is one the request must be enough.
    half = pl.when(pl.int_range(pl.len()) % 2 == 0).then("answer")
    rows = rows.with_columns(half.alias("answer"))
    buckets, owner = domain.features(rows)
    counts = np.maximum(np.bincount(owner, minlength=rows.height), 1)
    matrix = csr_matrix((1 / np.sqrt(counts[owner]), (owner, buckets)), shape=(rows.height, domain.BUCKETS))
    group = rows.select("source", "label").with_columns(pl.len().over("source", "label").alias("many"))
    weight = group.select(pl.col("many").cast(pl.Float64).pow(-0.5) * pl.when(pl.col("source") == "made").then(_MADE_WEIGHT * 3).otherwise(1)).to_series()
    per_label = rows.select(weight.alias("w"), "label").select(pl.col("w") / pl.col("w").sum().over("label")).to_series().to_numpy()
    labels = rows["label"].replace_strict({name: at for at, name in enumerate(DOMAINS)}, return_dtype=pl.Int64).to_numpy()
    fitted = LogisticRegression(C=_STRENGTH, max_iter=200, tol=1e-3).fit(matrix, labels, sample_weight=per_label * rows.height / len(DOMAINS))
    scale = np.abs(fitted.coef_).max(axis=1) / 127
    return {
        "weights": np.round(fitted.coef_.T / scale).astype(np.int8),
        "scale": scale.astype(np.float32),
        "bias": fitted.intercept_.astype(np.float32),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", type=Path, help="folder whose subfolders are the sources")
    rows = training_rows(parser.parse_args().sources)
    with pl.Config(tbl_rows=-1):
        print(rows.group_by("source", "label").len().sort("source", "label"))
    np.savez_compressed(domain.WEIGHTS, **train(rows))
    print(f"{domain.WEIGHTS}: {domain.WEIGHTS.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
