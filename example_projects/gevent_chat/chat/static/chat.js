// The browser's side: EventSource listens and connects again by itself, fetch posts.
const byId = (id) => document.getElementById(id);
const state = byId("state");
const source = new EventSource("/events");

source.onopen = () => { state.textContent = "connected"; state.className = "good"; };
source.onerror = () => { state.textContent = "connecting again…"; state.className = ""; };
source.onmessage = (event) => {
  const message = JSON.parse(event.data);
  const item = document.createElement("li");
  const who = document.createElement("b");
  const when = document.createElement("time");
  who.textContent = message.name;
  when.textContent = new Date(message.time * 1000).toLocaleTimeString();
  item.append(when, who, message.text); // text, never HTML: it is somebody else's
  byId("messages").append(item);
  item.scrollIntoView();
  state.textContent = `connected, ${message.listeners} listening`;
};

byId("name").value = localStorage.getItem("name") || "";
byId("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const [name, text] = [byId("name").value, byId("text").value];
  localStorage.setItem("name", name);
  const answer = await fetch("/messages", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ name, text }),
  });
  if (answer.ok) {
    byId("text").value = "";
  } else {
    state.textContent = (await answer.json()).error;
    state.className = "";
  }
});
