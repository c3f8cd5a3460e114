"""Every word that the page says, by language. Keys are shared by all languages; `{name}` is filled in where it is used.

What the page writes into the chat is in the visitor's language, which `choose` finds out; the labels around it are in
English.
"""

from __future__ import annotations

from collections.abc import Mapping

Words = Mapping[str, str]

WORDS: dict[str, Words] = {
    "en": {
        "title": "NExT-GPT",
        "tagline": "Talk in words, pictures, clips and sounds, and get any of them back.",
        "ask": "Write a message, or drop a picture, clip or sound",
        "message": "Message",
        "conversation": "Conversation",
        "loading": "The model is being loaded. Your message is next.",
        "busy": "The step that was stopped is finishing. Your message is next.",
        "thinking": "Thinking",
        "making_image": "Making a picture",
        "making_video": "Making a video",
        "making_audio": "Making a sound",
        "step": "step {step} of {steps}",
        "left": "about {seconds} s left",
        "failed": "Sorry, that went wrong on our side. The conversation goes on; please try again. Reference: {note}",
        "full": "Too many people are waiting just now. Please try again in a minute.",
        "stopped": "Stopped.",
        "still_answering": "The last message is still being answered. Stop it first, or wait for it.",
        "nothing": "Write something or attach a file first.",
        "too_many_files": "A message takes at most {limit} files.",
        "upload_image": "Attached picture",
        "upload_video": "Attached video",
        "upload_audio": "Attached sound",
        "made_image": "Picture",
        "made_video": "Video",
        "made_audio": "Sound",
        "save": "Save",
        "provenance": "{model} · seed {seed} · {steps} steps · {seconds} s",
    },
    "zh": {
        "title": "NExT-GPT",
        "tagline": "用文字、图片、视频和声音交谈，也能得到其中任何一种回答。",
        "ask": "输入消息，或拖入图片、视频、声音",
        "message": "消息",
        "conversation": "对话",
        "loading": "正在加载模型，随后回答您的消息。",
        "busy": "被停止的步骤正在结束，随后回答您的消息。",
        "thinking": "思考中",
        "making_image": "正在生成图片",
        "making_video": "正在生成视频",
        "making_audio": "正在生成声音",
        "step": "第 {step} 步，共 {steps} 步",
        "left": "约剩 {seconds} 秒",
        "failed": "抱歉，我们这边出错了。对话可以继续，请再试一次。编号：{note}",
        "full": "现在等候的人太多，请一分钟后再试。",
        "stopped": "已停止。",
        "still_answering": "上一条消息还在回答中，请先停止或等它结束。",
        "nothing": "请先输入文字或添加文件。",
        "too_many_files": "一条消息最多附带 {limit} 个文件。",
        "upload_image": "附带的图片",
        "upload_video": "附带的视频",
        "upload_audio": "附带的声音",
        "made_image": "图片",
        "made_video": "视频",
        "made_audio": "声音",
        "save": "保存",
        "provenance": "{model} · 种子 {seed} · {steps} 步 · {seconds} 秒",
    },
}


def choose(accept_language: str) -> str:
    """The language to speak to a browser that sends this Accept-Language header: the first that we have, or English."""
    for part in accept_language.split(","):
        language = part.split(";")[0].strip().split("-")[0].lower()
        if language in WORDS:
            return language
    return "en"
