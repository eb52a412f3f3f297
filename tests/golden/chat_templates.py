"""What transformers makes of templates of chats: python chat_templates.py > chat_templates.json
(transformers 5.24.0, jinja2 3.1.6). The templates are of the sorts that models in use have; the special tokens are those of
a tokenizer of bytes."""

import json

from jinja2.exceptions import TemplateError
from transformers.utils.chat_template_utils import render_jinja_template

CHATML = """{% for message in messages %}
    {%- if loop.first and message.role != 'system' %}
        {{- '<|im_start|>system\\nYou tell stories.<|im_end|>\\n' }}
    {%- endif %}
    {{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""
TRIMMED = """{% for message in messages %}
  {% if message['role'] == 'user' %}
<user>
{{ message['content'] }}
  {% elif message['role'] == 'system' %}
<system>
{{ message['content'] }}{{ eos_token }}

  {%- else %}
<assistant>
    {{ message.content | trim }}{{ eos_token }}
  {% endif %}
  {% if loop.last and add_generation_prompt %}
<assistant>
  {% endif %}
{% endfor %}
"""
ALTERNATING = """{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}{% for message in loop_messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if loop.index0 == 0 and system_message != false %}{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}{{ '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"""
THINKING = """{%- set ns = namespace(multi_step=true, last_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step and message.role == "user" and message.content is string and not(message.content.startswith('<tool>') and message.content.endswith('</tool>')) %}
        {%- set ns.multi_step = false %}
        {%- set ns.last_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.role == 'assistant' %}
        {%- set content = message.content %}
        {%- set reasoning = '' %}
        {%- if '</think>' in content %}
            {%- set reasoning = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last_index and reasoning %}
            {{- 'A<' + reasoning.strip('\\n') + '>' + content }}
        {%- else %}
            {{- 'A:' + content }}
        {%- endif %}
    {%- else %}
        {{- message.role[0] | upper ~ ':' ~ message.content ~ '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- 'A' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<>\\n\\n' }}
    {%- endif %}
{%- endif %}"""
TURNS = """{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\\n'}}{% endif %}"""
ODDS = """{%- macro say(message, mark='-') -%}
{{ mark }} {{ message.role | title }}: {{ message.content | replace('dog', 'cat') }}
{%- endmacro -%}
{%- for message in messages if message.role != 'system' -%}
{%- if loop.index > 3 %}{% break %}{% endif -%}
{{ say(message, mark='*' if loop.first else '+') }}{{ '\\n' if not loop.last }}
{%- endfor %}
{{ messages | tojson }} {{ messages[0] | tojson(indent=2) }}
{{ missing | default('none') }}{{ missing }}{{ (messages | selectattr('role', 'equalto', 'user') | list | length) // 2 }}
{%- for key, value in messages[0].items() %} {{ key }}={{ value }}{% endfor %}
{{ messages | map(attribute='role') | join(',') }} {{ messages[0].get('name', 'nobody') }} {{ 7 / 2 }} {{ true }} {{ none }}
{% set all = [] %}{% for message in messages %}{% set _ = all.append(message.role) %}{% endfor %}{{ all | unique | list | length }}
"""

said = lambda *said: [{"role": role, "content": content} for role, content in said]
CHATS = {
    "one": said(("user", "The dog <saw> a 'cat' & said \"é\".")),
    "system": said(("system", "  Be brief.\n"), ("user", " Who? \n"), ("assistant", "\nMe. "), ("user", "Why?")),
    "thought": said(("user", "a"), ("assistant", "<think>\nHm\n</think>\n\nYes"), ("user", "b"), ("assistant", "<think>\nSo\n</think>\nNo")),
    "twice": said(("user", "a"), ("user", "b\n\n"), ("assistant", "")),
}
SPECIAL = {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<|pad|>"}

TEMPLATES = {
    "chatml": CHATML, "trimmed": TRIMMED, "alternating": ALTERNATING, "thinking": THINKING, "turns": TURNS, "odds": ODDS,
}
cases = []
for template, source in TEMPLATES.items():
    for chat, messages in CHATS.items():
        for go_on, more in [(True, {}), (False, {}), (True, {"enable_thinking": False})]:
            if more and template != "thinking":
                continue
            try:
                rendered, _ = render_jinja_template(
                    [messages], chat_template=source, add_generation_prompt=go_on, **SPECIAL, **more
                )
                text = rendered[0]
            except TemplateError:
                text = None
            cases.append(
                {"template": template, "chat": chat, "add_generation_prompt": go_on, "more": more, "text": text}
            )
print(json.dumps({"templates": TEMPLATES, "chats": CHATS, "cases": cases}, ensure_ascii=False, indent=1))
