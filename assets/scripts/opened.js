// The open conversation stands in the page's address, so that a reload opens it again. Only its own visitor can.
watch("value", () => {
  const address = new URL(window.location);
  address.searchParams.set("c", props.value);
  window.history.replaceState(null, "", address);
});
