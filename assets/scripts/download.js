// Saves the file that the server has made ready.
watch("value", () => {
  if (!props.value) return;
  const link = document.createElement("a");
  link.href = props.value;
  link.download = "nextgpt-conversation.zip";
  link.click();
});
